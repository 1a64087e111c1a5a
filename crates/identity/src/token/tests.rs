use std::time::UNIX_EPOCH;

use super::*;

const LIFE: Duration = Duration::from_secs(600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn id(name: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/default/sa/{name}").parse().unwrap()
}

#[test]
fn a_token_stands_for_its_identity_until_it_is_used_or_expires() {
    let mut tokens = Tokens::default();
    let once = tokens.issue(id("web"), LIFE, Uses::Once, now()).unwrap();
    let many = tokens.issue(id("db"), LIFE, Uses::Many, now()).unwrap();
    assert_eq!(tokens.redeem(&once, now()), Ok(id("web")));
    assert_eq!(tokens.redeem(&once, now()), Err(Refused::Unknown));
    let last = now() + LIFE - Duration::from_secs(1);
    assert_eq!(tokens.redeem(&many, now()), Ok(id("db")));
    assert_eq!(tokens.redeem(&many, last), Ok(id("db")));
    assert_eq!(tokens.redeem(&many, now() + LIFE), Err(Refused::Expired));
    assert!(tokens.is_empty());
}

#[test]
fn life_and_number_are_bounded() {
    let mut tokens = Tokens::default();
    let token = tokens.issue(id("web"), MAX_TOKEN_LIFE * 10, Uses::Many, now()).unwrap();
    assert_eq!(tokens.redeem(&token, now() + MAX_TOKEN_LIFE), Err(Refused::Expired));
    for _ in 0..MAX_TOKENS {
        tokens.issue(id("web"), LIFE, Uses::Once, now()).unwrap();
    }
    assert!(matches!(tokens.issue(id("web"), LIFE, Uses::Once, now()), Err(Error::TooMany { .. })));
    tokens.issue(id("web"), LIFE, Uses::Once, now() + LIFE).expect("expired ones make room");
    assert_eq!(tokens.len(), 1);
}

#[test]
fn a_wrong_secret_gives_nothing_and_uses_nothing_up() {
    let mut tokens = Tokens::default();
    let token = tokens.issue(id("web"), LIFE, Uses::Once, now()).unwrap();
    for byte in 0..TOKEN_BYTES {
        let mut forged = token.clone();
        forged.0[byte] ^= 1;
        assert_eq!(tokens.redeem(&forged, now()), Err(Refused::Unknown), "byte {byte}");
    }
    assert_eq!(tokens.redeem(&token, now()), Ok(id("web")));
}

#[test]
fn revoking_an_identity_ends_its_tokens() {
    let mut tokens = Tokens::default();
    let web = tokens.issue(id("web"), LIFE, Uses::Many, now()).unwrap();
    let db = tokens.issue(id("db"), LIFE, Uses::Many, now()).unwrap();
    tokens.revoke(&id("web"));
    assert_eq!(tokens.redeem(&web, now()), Err(Refused::Unknown));
    assert_eq!(tokens.redeem(&db, now()), Ok(id("db")));
}

#[test]
fn text_round_trips_and_nothing_else_is_a_token() {
    let token = JoinToken::generate().unwrap();
    let text = token.expose();
    assert_eq!(text.len(), PREFIX.len() + 48);
    assert_eq!(format!("{}\n", *text).parse::<JoinToken>().unwrap().0, token.0);
    let long = format!("{}A", *text);
    for wrong in ["", "leno-join-", "leno-join-AAAA", &text[1..], &text[..text.len() - 1], &long] {
        assert_eq!(wrong.parse::<JoinToken>().err(), Some(NotToken), "{wrong}");
    }
}

#[test]
fn the_secret_is_not_printed() {
    let mut tokens = Tokens::default();
    let token = tokens.issue(id("web"), LIFE, Uses::Once, now()).unwrap();
    let secret = &token.0[SELECTOR_BYTES..];
    let text = token.expose();
    for printed in [format!("{token:?}"), format!("{tokens:?}")] {
        assert!(!printed.contains(&Hex(secret).to_string()), "{printed}");
        assert!(!printed.contains(&format!("{secret:?}")), "{printed}");
        assert!(!printed.contains(&text[PREFIX.len() + 16..]), "{printed}");
    }
}
