//! Request smuggling through whole proxies, in both directions: what leaves room for interpretation is refused before
//! the other side sees a byte of it, and what is passed on has one meaning.
//!
//! The messages are those of `leno_testkit::smuggling`. `docs/reference/smuggling.md` is written from what really
//! happens; `UPDATE_DOCS=1` rewrites it.

mod answers;
mod apps;
mod clients;
mod legs;
mod page;
mod requests;

/// What is wrong, with the place.
type Faults = Vec<String>;

#[tokio::test]
async fn nothing_is_smuggled_either_way() {
    let mut faults = Faults::new();
    let mut page = page::Page::new();
    requests::http1(&mut page, &mut faults).await;
    requests::http2(&mut page, &mut faults).await;
    requests::late(&mut page, &mut faults).await;
    answers::http1(&mut page, &mut faults).await;
    answers::late(&mut page, &mut faults).await;
    answers::http2(&mut page, &mut faults).await;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    page.check();
}
