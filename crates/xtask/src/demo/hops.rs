//! The way of the first request, as the services saw it: each answer carries the trail of the calls behind it.

use serde_json::Value;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    from: String,
    to: String,
    protocol: String,
    /// The caller's and the called side's identity, where `x-forwarded-client-cert` proves them.
    identities: Option<(String, String)>,
}

/// The calls of an answer in the form of `leno-sample call --output json`; `None` when it isn't the shop's page.
pub(super) fn of_answer(answer: &Value) -> Option<Vec<Hop>> {
    if answer.get("status")?.as_u64()? != 200 {
        return None;
    }
    answer.get("body")?.get("trail")?.as_array()?.iter().map(hop).collect()
}

fn hop(entry: &Value) -> Option<Hop> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let from = text("from");
    let version = text("version");
    let proof = entry.get("headers").and_then(|headers| headers.get("x-forwarded-client-cert"));
    Some(Hop {
        from: if from.is_empty() { "gateway".to_owned() } else { from },
        to: format!("{} {version}", entry.get("service")?.as_str()?),
        protocol: text("protocol"),
        identities: proof.and_then(Value::as_str).and_then(identities),
    })
}

/// Caller (`URI`) and called (`By`) of the last element of an XFCC header.
fn identities(xfcc: &str) -> Option<(String, String)> {
    let last = xfcc.rsplit(',').next()?;
    let value = |key: &str| {
        last.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(key).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    Some((value("URI")?, value("By")?))
}

/// How many calls proved both identities.
pub(super) fn proved(hops: &[Hop]) -> usize {
    hops.iter().filter(|hop| hop.identities.is_some()).count()
}

/// One line per call.
pub(super) fn lines(hops: &[Hop]) -> String {
    let mut text = String::new();
    for hop in hops {
        let proof = match &hop.identities {
            Some((caller, called)) => format!("{} → {}", short(caller), short(called)),
            None => "bytes, no headers to show".to_owned(),
        };
        text.push_str(&format!("    {:<9} → {:<12} {:<9} {proof}\n", hop.from, hop.to, hop.protocol));
    }
    text
}

/// Without the scheme, which all have.
fn short(id: &str) -> &str {
    id.strip_prefix("spiffe://").unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_trail_of_a_page_is_read() {
        let xfcc = "By=spiffe://c/ns/default/sa/shop;Hash=aa;URI=spiffe://c/ns/default/sa/gateway";
        let answer = json!({"status": 200, "body": {"trail": [
            {"service": "shop", "version": "v1", "protocol": "HTTP/1.1", "headers": {"x-forwarded-client-cert": xfcc}},
            {"service": "stock", "version": "v1", "from": "shop", "protocol": "TCP"},
        ]}});
        let hops = of_answer(&answer).unwrap();
        assert_eq!(proved(&hops), 1);
        let lines = lines(&hops);
        assert!(
            lines.contains(
                "gateway   → shop v1      HTTP/1.1  c/ns/default/sa/gateway → c/ns/default/sa/shop"
            ),
            "{lines}"
        );
        assert!(lines.contains("shop      → stock v1     TCP       bytes"), "{lines}");
    }

    #[test]
    fn other_answers_are_no_page() {
        for answer in
            [json!({}), json!({"status": 503, "body": {"trail": []}}), json!({"status": 200, "body": "x"})]
        {
            assert_eq!(of_answer(&answer), None, "{answer}");
        }
    }

    #[test]
    fn the_nearest_caller_counts() {
        let two = "By=spiffe://a;URI=spiffe://b,By=spiffe://c;Subject=\"\";URI=spiffe://d";
        assert_eq!(identities(two), Some(("spiffe://d".to_owned(), "spiffe://c".to_owned())));
        assert_eq!(identities("Hash=x"), None);
    }
}
