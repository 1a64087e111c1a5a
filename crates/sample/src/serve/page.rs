//! The shop's front page as HTML: the book, what the services said, and the trail of the request.

use http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::trail::Hop;

/// Whether the client is a browser, so far as its `Accept` says.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

const STYLE: &str = "body{font:16px/1.5 Georgia,serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fbfaf6}
header{border-bottom:3px double #876}nav a{margin-right:1rem;color:#754}h1{margin:.2em 0}small,td,th{font:13px/1.4 monospace}
.quotes{border-left:4px solid #bbb}.marks{border-left:4px solid #c90}.digest{border-left:4px solid #297}
section{padding:.2rem 1rem;margin:1rem 0;background:#fff}.error{border-left:4px solid #b22;color:#b22}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd;overflow-wrap:anywhere}";

/// The page for one answer of the shop.
pub(crate) fn render(answer: &Map<String, Value>, trail: &[Hop]) -> String {
    let none = Value::Null;
    let catalog = answer.get("catalog").unwrap_or(&none);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>The bookshop on the quay</title><style>{STYLE}</style>\
         <header><nav>{}</nav><h1>{}</h1><p>{} · {} pages</p></header><p>{}</p>",
        (1..=6).map(|id| format!("<a href=/books/{id}>Book {id}</a>")).collect::<String>(),
        text(catalog, "title"),
        text(catalog, "author"),
        text(catalog, "pages"),
        text(catalog, "blurb"),
    );
    part(&mut page, "Price", catalog, "pricing", |price| euros(price, "cents"));
    part(&mut page, "In stock", catalog, "stock", |stock| {
        format!("{} on shelf {}", text(stock, "count"), text(stock, "shelf"))
    });
    part(&mut page, "Readers", catalog, "reviews", reviews);
    let whole = Value::Object(answer.clone());
    part(&mut page, "Orders", &whole, "orders", |orders| {
        format!("{} open, ships {}", text(orders, "open"), text(orders, "ships"))
    });
    if let Some(error) = catalog.get("error").and_then(Value::as_str) {
        page.push_str(&format!("<section class=error>catalog: {}</section>", escape(error)));
    }
    page.push_str("<h2>How this page came about</h2><table><tr><th>from<th>service<th>protocol<th>who called, as the mesh proved it</tr>");
    page.extend(trail.iter().map(row));
    page.push_str("</table></html>\n");
    page
}

/// A section for what one service said, if it was asked.
fn part(page: &mut String, title: &str, parent: &Value, name: &str, show: impl Fn(&Value) -> String) {
    let Some(value) = parent.get(name) else { return };
    let (class, body) = match value.get("error").and_then(Value::as_str) {
        Some(error) => ("error".to_owned(), escape(error)),
        None => (text(value, "style"), show(value)),
    };
    page.push_str(&format!(
        "<section class=\"{class}\"><h3>{title} <small>{}</small></h3>{body}</section>",
        text(value, "version")
    ));
}

fn reviews(reviews: &Value) -> String {
    let mut html = String::new();
    if let Some(verdict) = reviews.get("verdict").and_then(Value::as_str) {
        html.push_str(&format!("<p><b>{}</b></p>", escape(verdict)));
    }
    if let Some(ratings) = reviews.get("ratings") {
        html.push_str(&match ratings.get("error").and_then(Value::as_str) {
            Some(error) => format!("<p class=error>{}</p>", escape(error)),
            None => format!("<p>{} of 5 by {} readers</p>", text(ratings, "mark"), text(ratings, "readers")),
        });
    }
    let quotes = match reviews.get("quotes") {
        Some(Value::Array(quotes)) => quotes.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    html.extend(
        quotes.iter().map(|quote| {
            format!("<p>“{}” <small>{}</small></p>", text(quote, "text"), text(quote, "reader"))
        }),
    );
    html
}

fn row(hop: &Hop) -> String {
    let proof = match hop.headers.get("x-forwarded-client-cert") {
        Some(proof) => proof.as_str(),
        None => hop.error.as_str(),
    };
    format!(
        "<tr><td>{}<td>{} {}<td>{}<td>{}</tr>",
        escape(&hop.from),
        escape(&hop.service),
        escape(&hop.version),
        escape(&hop.protocol),
        escape(proof)
    )
}

fn euros(value: &Value, name: &str) -> String {
    let cents = value.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

/// A field as escaped text; nothing when it is missing.
fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => escape(text),
        Some(Value::Null) | None => String::new(),
        Some(other) => escape(&other.to_string()),
    }
}

/// Safe inside an element and inside a quoted attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_what_services_say() {
        let answer = json!({"catalog": {"title": "<script>", "reviews": {"style": "\"x", "error": "a & b"}}});
        let Value::Object(answer) = answer else { unreachable!() };
        let page = render(&answer, &[Hop { service: "<b>".to_owned(), ..Hop::default() }]);
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b") && page.contains("&lt;b&gt;"));
        assert!(!page.contains("<script>") && !page.contains("<b>"));
    }
}
