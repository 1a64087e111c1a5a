//! What a verdict costs. Printed, never judged: times depend on the machine.

use std::hint::black_box;
use std::time::Instant;

use super::*;

#[test]
fn print_the_cost_of_a_verdict() {
    for count in [1, 10, 100] {
        let rule = |number: usize| PolicyRule {
            sources: vec![Source {
                principals: any([text(&format!("cluster.local/ns/shop/sa/web-{number}"))]),
                ..Source::default()
            }],
            ..to(Operation {
                methods: any([text("GET")]),
                paths: any([path("/api/*")]),
                ..Operation::default()
            })
        };
        let authorizer = authorizer(vec![allow((0..count).map(rule).collect())]);
        let peer = peer(Some(&format!("cluster.local/ns/shop/sa/web-{}", count - 1)));
        let request = Request::get("/api/items/1");
        assert!(authorizer.check(&peer, Some(&request), &mut Silent).is_allowed());
        let rounds = 100_000 / count;
        let round = |_| {
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(authorizer.check(&peer, Some(black_box(&request)), &mut Silent));
            }
            start.elapsed().as_nanos() / u128::try_from(rounds).unwrap()
        };
        let nanoseconds = (0..5).map(round).min().unwrap();
        println!("verdict, last of {count} rules: {nanoseconds} ns");
    }
}
