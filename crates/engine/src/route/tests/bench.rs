//! What a decision costs. Printed, never judged: times depend on the machine.

use std::hint::black_box;
use std::time::Instant;

use leno_model::route::MatchOrder;

use super::{Router, rule, source, table, under};
use crate::explain::Silent;
use crate::testing::Request;

#[test]
fn print_the_cost_of_a_route_decision() {
    for count in [1, 10, 100, 1000] {
        let rules =
            (0..count).map(|number| rule("r", vec![under(&format!("/service-{number:04}/api"))])).collect();
        let router = Router::compile(&table(MatchOrder::MostSpecific, rules));
        let request = Request::get(&format!("/service-{:04}/api/items/1", count - 1));
        let rounds = 100_000 / count;
        let round = |_| {
            let start = Instant::now();
            for draw in 0..rounds {
                let routed =
                    router.route(black_box(&request), &source(), u64::try_from(draw).unwrap(), &mut Silent);
                black_box(routed);
            }
            start.elapsed().as_nanos() / u128::try_from(rounds).unwrap()
        };
        let nanoseconds = (0..5).map(round).min().unwrap();
        println!("route decision, last of {count} rules: {nanoseconds} ns");
    }
}
