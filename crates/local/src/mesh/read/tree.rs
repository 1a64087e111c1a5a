//! A YAML tree as a source of serde values, with the place of whatever is wrong.
//!
//! Where a text is wanted any scalar will do, as it is written: `version: 1.0` is the text `1.0`, and
//! `PORT: 8080` needs no quotes.

use std::fmt;

use leno_dialects::{
    findings::Position,
    yaml::{Entry, Kind, Node, Resolved, Scalar},
};
use serde::{
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

/// A part of a document.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a>(pub(super) &'a Node);

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Error {
    pub(super) message: String,
    pub(super) at: Option<Position>,
    /// Such as `spec.workloads[0].command`.
    pub(super) path: String,
}

impl Error {
    /// Adds the place, unless a deeper one is known, and the path from here.
    fn within(mut self, at: Position, segment: &str) -> Self {
        self.at = self.at.or(Some(at));
        let separator = match self.path.chars().next() {
            None | Some('[') => "",
            Some(_) if segment.is_empty() => "",
            Some(_) => ".",
        };
        self.path = format!("{segment}{separator}{}", self.path);
        self
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), at: None, path: String::new() }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<'a> Tree<'a> {
    fn scalar<'de, V: Visitor<'de>>(scalar: &'a Scalar, visitor: V) -> Result<V::Value, Error> {
        match scalar.resolve() {
            Resolved::Integer(number) => visitor.visit_i64(number),
            Resolved::Number(number) => visitor.visit_f64(number),
            Resolved::Boolean(value) => visitor.visit_bool(value),
            Resolved::Text(text) | Resolved::LeadingZero(text) => visitor.visit_str(text),
        }
    }

    /// A value by its own nature.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Scalar(scalar) => Self::scalar(scalar, visitor),
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Kind::Mapping(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    /// A text, however the scalar would resolve.
    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Scalar(scalar) => visitor.visit_str(&scalar.text),
            _ => self.any(visitor),
        }
    }

    fn placed<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.within(self.0.at, ""))
    }
}

impl<'de> de::Deserializer<'de> for Tree<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(self.any(visitor))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.placed(self.text(visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Nothing is an empty list, as in Kubernetes.
        match &self.0.kind {
            Kind::Null => visitor.visit_seq(Items { items: &[], next: 0 }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.kind {
            Kind::Null => visitor.visit_map(Entries { entries: &[], next: 0 }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.0.kind {
            Kind::Scalar(scalar) => {
                let variant: StrDeserializer<'_, Error> = (&*scalar.text).into_deserializer();
                visitor.visit_enum(variant)
            }
            _ => self.any(visitor),
        };
        self.placed(result)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct struct ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let segment = format!("[{}]", self.next);
        self.next += 1;
        seed.deserialize(Tree(item)).map(Some).map_err(|error| error.within(item.at, &segment))
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = (&*entry.key).into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.within(entry.at, ""))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        // Only called after a key was found.
        let Some(entry) = self.entries.get(self.next) else { return Err(de::Error::custom("no value")) };
        self.next += 1;
        let value = seed.deserialize(Tree(&entry.value));
        value.map_err(|error| error.within(entry.value.at, &entry.key))
    }
}
