//! `headers`: what is set, added and removed.

use std::sync::Arc;

use leno_model::route::HeaderEdits;

use crate::codes;
use crate::http::{editable_name, editable_value, is_authority, push_edit};
use crate::yaml::{Fields, Value};

/// Changes to headers in both directions.
#[derive(Default)]
pub(super) struct Headers {
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
    /// A new authority, written as setting `host`.
    pub(super) authority: Option<Arc<str>>,
}

/// Reads `headers`.
pub(super) fn read(value: Option<Value<'_>>) -> Headers {
    let mut headers = Headers::default();
    let Some(fields) = value.and_then(|value| value.fields()) else { return headers };
    if let Some(request) = fields.object("request") {
        headers.request = edits(&request, Some(&mut headers.authority));
        request.finish();
    }
    if let Some(response) = fields.object("response") {
        headers.response = edits(&response, None);
        response.finish();
    }
    fields.finish();
    headers
}

fn edits(fields: &Fields<'_>, mut authority: Option<&mut Option<Arc<str>>>) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    for (name, list) in [("set", &mut edits.set), ("add", &mut edits.add)] {
        for (entry, value) in fields.value(name).map(|map| map.entries()).unwrap_or_default() {
            if matches!(&*entry.key.to_ascii_lowercase(), "host" | ":authority")
                && let Some(authority) = authority.as_deref_mut()
            {
                *authority = new_authority(&value);
                continue;
            }
            let Some(header) = editable_name(&entry.key, &value) else { continue };
            match literal(&value) {
                Some(text) => push_edit(list, header, text, &value),
                // What the proxy was to set must not come from the client instead.
                None if name == "set" => edits.remove.push(header),
                None => {}
            }
        }
    }
    for value in fields.items("remove") {
        let Some(name) = value.text().and_then(|text| editable_name(text, &value)) else { continue };
        if &*name == "host" {
            value.invalid("cannot be removed", "every request has a host");
        } else {
            edits.remove.push(name);
        }
    }
    edits
}

fn new_authority(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    if !is_authority(text) {
        value.invalid("is not a host", "write a host name, with :port if need be");
        return None;
    }
    Some(text.into())
}

/// A value without Envoy's variables. `%%` stands for a percent sign; a value with variables is left out, since
/// its literal text would be wrong.
fn literal(value: &Value<'_>) -> Option<Arc<str>> {
    let text = editable_value(value)?;
    if !text.contains('%') {
        return Some(text);
    }
    let unescaped = text.replace("%%", "\u{0}");
    if unescaped.contains('%') {
        let message = format_args!("{} has a variable, and the header is not written", value.shown());
        value.report_with(codes::LEFT_OUT, message, "write a fixed value; a percent sign is written %%");
        return None;
    }
    Some(unescaped.replace('\u{0}', "%").into())
}
