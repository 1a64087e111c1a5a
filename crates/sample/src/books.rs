//! The shop's six books and what each service knows about them. Fixed data: every run answers the same.

use serde_json::{Map, Value, json};

/// One book with what the different services know about it.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) id: u32,
    pub(crate) title: &'static str,
    pub(crate) author: &'static str,
    pub(crate) pages: u32,
    pub(crate) blurb: &'static str,
    pub(crate) cents: u64,
    pub(crate) copies: u32,
    pub(crate) sold: u32,
    pub(crate) shelf: &'static str,
    pub(crate) readers: u32,
    /// The readers' mean mark in tenths, 10 to 50.
    pub(crate) tenths: u32,
    pub(crate) verdict: &'static str,
    /// Who said what.
    pub(crate) quotes: [(&'static str, &'static str); 2],
}

const BOOKS: [Book; 6] = [
    Book {
        id: 1,
        title: "The Loom at Harbour Street",
        author: "Ines Calloway",
        pages: 312,
        blurb: "Three sisters inherit a weaving mill, a debt, and a pattern that nobody can finish.",
        cents: 1890,
        copies: 17,
        sold: 212,
        shelf: "B4",
        readers: 128,
        tenths: 44,
        verdict: "Slow cloth, strong thread: readers finish it in one weekend.",
        quotes: [
            ("Oda", "I could hear the shuttles. I also missed my stop, twice."),
            ("Renzo", "The middle third drags, the last page doesn't."),
        ],
    },
    Book {
        id: 2,
        title: "A Field Guide to Quiet Machines",
        author: "Tomasz Wierny",
        pages: 188,
        blurb: "Pumps, clocks, lifts and looms that have run for a century without anybody noticing.",
        cents: 2450,
        copies: 5,
        sold: 96,
        shelf: "A1",
        readers: 61,
        tenths: 47,
        verdict: "Small, exact and oddly moving.",
        quotes: [
            ("Mirela", "The chapter on the tide clock alone is worth the price."),
            ("Jo", "Bought it for the drawings, stayed for the footnotes."),
        ],
    },
    Book {
        id: 3,
        title: "Salt, Tin and Thread",
        author: "Adaeze Brandt",
        pages: 421,
        blurb: "A history of everything that small boats carried along one coast.",
        cents: 2990,
        copies: 9,
        sold: 143,
        shelf: "D2",
        readers: 87,
        tenths: 39,
        verdict: "Learned and long; keep a map at hand.",
        quotes: [
            ("Piet", "More about tin than I'd hoped, less about thread."),
            ("Solvei", "Reads like a voyage: becalmed, then suddenly gone."),
        ],
    },
    Book {
        id: 4,
        title: "Nine Bridges to Morning",
        author: "Yuki Halvorsen",
        pages: 256,
        blurb: "A night bus, a missing conductor, and a town where no bridge leads back.",
        cents: 1650,
        copies: 31,
        sold: 340,
        shelf: "C3",
        readers: 204,
        tenths: 42,
        verdict: "A page-turner that cheats only once.",
        quotes: [
            ("Anouk", "Guessed the fourth bridge, not the seventh."),
            ("Tariq", "My whole ward read the same copy."),
        ],
    },
    Book {
        id: 5,
        title: "Letters from the Night Ferry",
        author: "Marguerite Osei",
        pages: 204,
        blurb: "Forty letters written between two ports, never posted, found in a lifeboat.",
        cents: 1420,
        copies: 0,
        sold: 418,
        shelf: "C1",
        readers: 263,
        tenths: 48,
        verdict: "Read it aloud to somebody.",
        quotes: [
            ("Benedikt", "Letter thirty-one. That's all I'll say."),
            ("Wen", "Sold out again? I gave mine away and regret it."),
        ],
    },
    Book {
        id: 6,
        title: "How Gears Dream",
        author: "Pavel Lindqvist",
        pages: 148,
        blurb: "Bedtime stories for children who take things apart.",
        cents: 1190,
        copies: 44,
        sold: 75,
        shelf: "E5",
        readers: 33,
        tenths: 36,
        verdict: "The drawings win, the rhymes limp.",
        quotes: [
            ("Iris", "My son built the moth from page 40. It flies. Help."),
            ("Carlo", "Nice, but the last story is an advertisement for oil."),
        ],
    },
];

/// The book with this number, if the shop sells it.
pub(crate) fn find(id: u32) -> Option<&'static Book> {
    BOOKS.iter().find(|book| book.id == id)
}

impl Book {
    /// What the named service says about this book by itself; `version` changes how `reviews` look.
    pub(crate) fn as_told_by(&self, service: &str, version: &str) -> Map<String, Value> {
        let told = match service {
            "shop" => json!({"greeting": "Welcome to the bookshop on the quay"}),
            "catalog" => json!({
                "title": self.title, "author": self.author, "pages": self.pages, "blurb": self.blurb,
            }),
            "reviews" => self.reviews(version),
            "ratings" => json!({"readers": self.readers, "mark": tenths(self.tenths)}),
            "pricing" => json!({"cents": self.cents}),
            "stock" => json!({"count": self.copies, "sold": self.sold, "shelf": self.shelf}),
            "orders" => {
                json!({"open": self.sold % 7, "ships": if self.copies > 0 { "tomorrow" } else { "when reprinted" }})
            }
            _ => json!({"title": self.title}),
        };
        let mut map = Map::from_iter([("book".to_owned(), json!(self.id))]);
        if let Value::Object(fields) = told {
            map.extend(fields);
        }
        map
    }

    /// v1 quotes readers, v2 shows their marks beside the quotes, v3 leads with a verdict and one quote.
    fn reviews(&self, version: &str) -> Value {
        let quotes: Vec<Value> =
            self.quotes.iter().map(|(reader, text)| json!({"reader": reader, "text": text})).collect();
        match version {
            "v3" => json!({"style": "digest", "verdict": self.verdict, "quotes": quotes.first()}),
            "v2" => json!({"style": "marks", "quotes": quotes}),
            _ => json!({"style": "quotes", "quotes": quotes}),
        }
    }
}

/// `44` is the mark 4.4.
fn tenths(value: u32) -> f64 {
    f64::from(value) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_versions_of_reviews_differ() {
        let told: Vec<_> =
            ["v1", "v2", "v3"].iter().map(|v| find(1).unwrap().as_told_by("reviews", v)).collect();
        assert_ne!(told[0], told[1]);
        assert_ne!(told[1], told[2]);
        assert_ne!(told[0], told[2]);
    }

    #[test]
    fn finds_by_number() {
        assert!((1..=6).all(|id| find(id).is_some_and(|book| book.id == id)));
        assert!(find(0).is_none() && find(7).is_none());
    }
}
