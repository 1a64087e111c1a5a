//! The built-in authority: what it signs, keeps and replaces.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use leno_identity::ca::{BuiltIn, Ca, Order, Settings};
use leno_identity::limits::{MAX_LEAF_LIFETIME, MIN_LEAF_LIFETIME};
use leno_identity::request::SigningRequest;
use leno_identity::state::StateDirectory;
use leno_identity::tls::peer::{Side, trusted};
use leno_identity::token::{Refused, Tokens, Uses};
use leno_identity::{Bundles, Error, KeyPair, Svid};
use x509_parser::prelude::FromDer;

use crate::forge::{HOUR, authority, bundles, id, now, svid, svid_at, trust_domain};
use crate::scratch::Scratch;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn open(path: &Path) -> Result<BuiltIn, Error> {
    BuiltIn::open(path, trust_domain("td"), Settings::default(), now())
}

fn check(svid: &Svid, bundles: &Bundles, now: SystemTime) -> Result<(), Error> {
    let (leaf, rest) = svid.credential().chain().split_first().unwrap();
    for side in [Side::Client, Side::Server] {
        assert_eq!(trusted(bundles, leaf, rest, side, now)?.id, *svid.id());
    }
    Ok(())
}

#[test]
fn lifetimes_are_bounded_and_backdated_in_proportion() {
    let settings = Settings { max_leaf_lifetime: 30 * DAY, ..Settings::default() };
    let authority = BuiltIn::ephemeral(trust_domain("td"), settings, now()).unwrap();
    for (asked, given, back) in [
        (6 * HOUR, 6 * HOUR, 60),
        (Duration::from_secs(60), Duration::from_secs(60), 6),
        (Duration::ZERO, MIN_LEAF_LIFETIME, 1),
        (Duration::MAX, MAX_LEAF_LIFETIME, 60),
    ] {
        let svid = svid_at(&authority, "/web", asked, now() + Duration::from_millis(500));
        assert_eq!(svid.not_after(), now() + given, "{asked:?}");
        let backdated = now().duration_since(svid.not_before()).unwrap().as_secs();
        assert!(backdated.abs_diff(back) <= 1, "{asked:?}: {backdated} s");
        check(&svid, &bundles(&[&authority]), now()).unwrap();
    }
}

#[test]
fn only_workloads_of_its_own_trust_domain_are_signed() {
    let authority = authority("td");
    let request =
        SigningRequest::verify(&SigningRequest::make(&KeyPair::generate().unwrap()).unwrap()).unwrap();
    for other in ["other/web", "td", "td.evil/web"] {
        let order = Order { id: id(other), request: request.clone(), lifetime: HOUR };
        assert!(matches!(authority.sign(&order, now()), Err(Error::NotOurs { .. })), "{other}");
    }
}

#[test]
fn serial_numbers_and_authorities_names_differ() {
    let authority = authority("td");
    let mut serials: Vec<_> = (0..50)
        .map(|_| {
            let svid = svid(&authority, "/web");
            let (_, leaf) =
                x509_parser::certificate::X509Certificate::from_der(&svid.credential().chain()[0]).unwrap();
            assert_eq!(leaf.raw_serial().len(), 16);
            assert!(leaf.raw_serial()[0] & 0x80 == 0, "positive");
            leaf.raw_serial().to_vec()
        })
        .collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 50);
}

#[test]
fn a_state_directory_gives_the_same_authority_again() {
    let scratch = Scratch::new();
    let path = scratch.path().join("state/ca");
    let first = open(&path).unwrap();
    let svid = svid(&first, "/web");
    let bundle = first.trusted();
    assert!(matches!(open(&path), Err(Error::StateInUse { .. })), "one process at a time");
    drop(first);
    let second = open(&path).unwrap();
    assert_eq!(second.trusted(), bundle);
    check(&svid, &bundles(&[&second]), now()).unwrap();
    check(&svid_at(&second, "/web", HOUR, now()), &Bundles::new([bundle]).unwrap(), now()).unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.path());
        assert!(entry.path().extension().is_none_or(|extension| extension != "new"), "{:?}", entry.path());
    }
}

#[test]
fn wrong_state_is_refused_and_not_replaced() {
    let scratch = Scratch::new();
    let path = scratch.path().join("ca");
    drop(open(&path).unwrap());
    let active = path.join("active.pem");
    let good = std::fs::read_to_string(&active).unwrap();
    let second_key = good.rfind("-----BEGIN PRIVATE KEY").unwrap();
    for (name, bad) in [
        ("cut short", good[..good.len() / 2].to_owned()),
        ("empty", String::new()),
        ("no intermediate", good[..second_key].to_owned()),
        ("swapped", format!("{}{}", &good[second_key..], &good[..second_key])),
        ("keys missing", good.replace("PRIVATE KEY", "UNKNOWN THING")),
    ] {
        std::fs::write(&active, &bad).unwrap();
        let result = open(&path);
        assert!(result.is_err(), "{name}");
        assert_eq!(std::fs::read_to_string(&active).unwrap(), bad, "{name}");
    }
    std::fs::write(&active, &good).unwrap();
    std::fs::write(path.join("sequence"), "many").unwrap();
    assert!(matches!(open(&path), Err(Error::State { .. })));
    std::fs::remove_file(path.join("sequence")).unwrap();
    let without = open(&path).unwrap();
    assert!(without.trusted().sequence() > 1, "a lost number must not start again");
    drop(without);

    let other = BuiltIn::open(&path, trust_domain("other"), Settings::default(), now());
    assert!(matches!(other, Err(Error::NotRoot { .. })), "another trust domain's state");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot keep secrets in {}", path.display()));
}

#[test]
fn the_intermediate_is_replaced_at_half_its_life() {
    let scratch = Scratch::new();
    let path = scratch.path().join("ca");
    let authority = open(&path).unwrap();
    let bundles = bundles(&[&authority]);
    let old = svid(&authority, "/web");
    let later = now() + 200 * DAY;
    let new = svid_at(&authority, "/web", HOUR, later);
    assert_ne!(old.credential().chain()[1], new.credential().chain()[1]);
    check(&new, &bundles, later).unwrap();
    check(&old, &bundles, now()).unwrap();
    drop(authority);
    let reopened = open(&path).unwrap();
    let again = svid_at(&reopened, "/web", HOUR, later);
    assert_eq!(again.credential().chain()[1], new.credential().chain()[1], "it was kept");
}

#[test]
fn nothing_outlives_its_signer() {
    let authority = authority("td");
    let end = now() + DAY * 3652;
    let svid = svid_at(&authority, "/web", 12 * HOUR, end - HOUR);
    assert!(svid.not_after() <= end);
    check(&svid, &bundles(&[&authority]), end - HOUR).unwrap();
    assert!(check(&svid, &bundles(&[&authority]), end + HOUR).is_err());
    let request =
        SigningRequest::verify(&SigningRequest::make(&KeyPair::generate().unwrap()).unwrap()).unwrap();
    let order = Order { id: id("td/web"), request, lifetime: HOUR };
    assert!(matches!(authority.sign(&order, end + DAY), Err(Error::RootExpired { .. })));
}

#[test]
fn a_root_is_replaced_without_a_gap() {
    let scratch = Scratch::new();
    let path = scratch.path().join("ca");
    let mut authority = open(&path).unwrap();
    let reopen = |authority: &mut BuiltIn| {
        let before = (authority.trusted(), svid(authority, "/x").credential().chain()[1].clone());
        *authority = BuiltIn::ephemeral(trust_domain("td"), Settings::default(), now()).unwrap();
        *authority = open(&path).unwrap();
        let after = (authority.trusted(), svid(authority, "/x").credential().chain()[1].clone());
        assert!(before == after, "every step survives a restart");
    };
    let oldest = bundles(&[&authority]);
    let before = svid(&authority, "/web");

    authority.activate_root(now()).unwrap();
    assert_eq!(*authority.trusted(), **oldest.bundle("td").unwrap(), "nothing was prepared");
    authority.prepare_root(now()).unwrap();
    authority.prepare_root(now()).unwrap();
    reopen(&mut authority);
    let both = bundles(&[&authority]);
    assert_eq!(authority.trusted().roots().count(), 2);
    let prepared = svid(&authority, "/web");
    check(&prepared, &oldest, now()).expect("still under the old root");

    authority.activate_root(now()).unwrap();
    reopen(&mut authority);
    let activated = svid(&authority, "/web");
    check(&activated, &both, now()).unwrap();
    assert!(check(&activated, &oldest, now()).is_err(), "under the new root");
    check(&before, &bundles(&[&authority]), now()).expect("old ones are still trusted");
    assert_eq!(authority.trusted().sequence(), 2, "the set of roots is the same");

    authority.retire_roots().unwrap();
    authority.retire_roots().unwrap();
    reopen(&mut authority);
    let newest = bundles(&[&authority]);
    check(&activated, &newest, now()).unwrap();
    assert!(check(&before, &newest, now()).is_err(), "the old root is gone");
    assert_eq!((authority.trusted().sequence(), authority.trusted().roots().count()), (3, 1));
}

#[test]
fn an_activation_cut_short_is_completed_by_opening() {
    let scratch = Scratch::new();
    let path = scratch.path().join("ca");
    let authority = open(&path).unwrap();
    authority.prepare_root(now()).unwrap();
    let next = std::fs::read(path.join("next.pem")).unwrap();
    let both = bundles(&[&authority]);
    authority.activate_root(now()).unwrap();
    drop(authority);
    // As if the process had died before the last of the three writes.
    std::fs::write(path.join("next.pem"), next).unwrap();
    let authority = open(&path).unwrap();
    assert_eq!(authority.trusted().roots().count(), 2);
    check(&svid(&authority, "/web"), &both, now()).unwrap();
    authority.retire_roots().unwrap();
    assert_eq!(authority.trusted().roots().count(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn the_seam_signs_like_the_authority_behind_it() {
    let authority = authority("td");
    let ca: &dyn Ca = &authority;
    let request =
        SigningRequest::verify(&SigningRequest::make(&KeyPair::generate().unwrap()).unwrap()).unwrap();
    let order = Order { id: id("td/web"), request, lifetime: HOUR };
    let issued = ca.issue(&order, now()).await.unwrap();
    assert_eq!((issued.chain.len(), issued.not_after), (2, now() + HOUR));
    assert_eq!(ca.bundle().unwrap(), authority.trusted());
}

#[test]
fn tokens_survive_a_restart_and_used_ones_stay_used() {
    let scratch = Scratch::new();
    let directory = StateDirectory::open(&scratch.path().join("tokens")).unwrap();
    assert!(Tokens::load(&directory).unwrap().is_empty());
    let mut tokens = Tokens::default();
    let once = tokens.issue(id("td/web"), HOUR, Uses::Once, now()).unwrap();
    let many = tokens.issue(id("td/db"), HOUR, Uses::Many, now()).unwrap();
    tokens.save(&directory).unwrap();
    let mut tokens = Tokens::load(&directory).unwrap();
    assert_eq!(tokens.redeem(&once, now()), Ok(id("td/web")));
    tokens.save(&directory).unwrap();
    let mut tokens = Tokens::load(&directory).unwrap();
    assert_eq!(tokens.redeem(&once, now()), Err(Refused::Unknown));
    assert_eq!(tokens.redeem(&many, now()), Ok(id("td/db")));
    let file = std::fs::read_to_string(directory.file("tokens")).unwrap();
    assert!(!file.contains(&many.expose()["leno-join-".len() + 16..]));
    for bad in
        ["x", "00 00 0 once spiffe://td/x", &file.replace("many", "often"), &file.replace("spiffe://", "")]
    {
        directory.write("tokens", bad.as_bytes()).unwrap();
        assert!(matches!(Tokens::load(&directory), Err(Error::State { .. })), "{bad}");
    }
}
