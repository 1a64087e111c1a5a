//! The whole bookshop without a mesh, and how its services treat each other.

use serde_json::{Value, json};

use crate::odd::{always, nobody};
use crate::process::{Service, call, get, listen, run, serve};

/// Every service, in the order in which they depend on each other.
struct Shop {
    _all: Vec<Service>,
    shop: Service,
}

async fn open() -> Shop {
    let stock = listen("stock", &["tcp://127.0.0.1:0"], &[]).await;
    let to_stock = format!("--call=stock=tcp://{}", stock.address());
    let ratings = serve("ratings", &[&to_stock]).await;
    let pricing = serve("pricing", &[]).await;
    let to_ratings = format!("--call=ratings=grpc://{}/Ratings/Summarize", ratings.address());
    let to_pricing = format!("--call=pricing=grpc://{}/Pricing/Quote", pricing.address());
    let reviews = serve("reviews", &["--version=v3", &to_ratings]).await;
    let orders = serve("orders", &[&to_pricing, &to_stock]).await;
    let to_reviews = format!("--call=reviews=http://{}/reviews/{{id}}", reviews.address());
    let catalog = serve("catalog", &[&to_reviews, &to_pricing, &to_stock]).await;
    let to_catalog = format!("--call=catalog=h2c://{}/books/{{id}}", catalog.address());
    let to_orders = format!("--call=orders=http://{}/orders/{{id}}", orders.address());
    let shop = serve("shop", &[&to_catalog, &to_orders]).await;
    Shop { _all: vec![stock, ratings, pricing, reviews, orders, catalog], shop }
}

/// `from>service/version` and protocol of every hop.
fn edges(body: &Value) -> Vec<String> {
    let text = |hop: &Value, name: &str| hop[name].as_str().unwrap_or_default().to_owned();
    let hops = body["trail"].as_array().unwrap();
    hops.iter()
        .map(|hop| {
            format!(
                "{}>{}/{} {}",
                text(hop, "from"),
                text(hop, "service"),
                text(hop, "version"),
                text(hop, "protocol")
            )
        })
        .collect()
}

#[tokio::test]
async fn the_trail_shows_every_hop_and_what_it_saw() {
    let shop = open().await;
    let body = get(
        &shop.shop.url("http", "/books/3"),
        &[
            "-H",
            "traceparent: 00-a-b-01",
            "-H",
            "x-request-id: 7",
            "-H",
            "x-shop-reader: critic",
            "-H",
            "cookie: secret",
        ],
    )
    .await;
    assert_eq!(
        edges(&body),
        [
            ">shop/v1 HTTP/1.1",
            "shop>catalog/v1 HTTP/2.0",
            "catalog>reviews/v3 HTTP/1.1",
            "reviews>ratings/v1 gRPC",
            "ratings>stock/v1 TCP",
            "catalog>pricing/v1 gRPC",
            "catalog>stock/v1 TCP",
            "shop>orders/v1 HTTP/1.1",
            "orders>pricing/v1 gRPC",
            "orders>stock/v1 TCP",
        ]
    );
    for hop in body["trail"].as_array().unwrap().iter().filter(|hop| hop["protocol"] != "TCP") {
        let headers = &hop["headers"];
        assert_eq!(headers["traceparent"], "00-a-b-01", "{hop}");
        assert_eq!((&headers["x-request-id"], &headers["x-shop-reader"]), (&json!("7"), &json!("critic")));
        assert!(headers["host"].is_string(), "{hop}");
    }
    assert_eq!(body["catalog"]["reviews"]["style"], "digest");
    assert_eq!(body["catalog"]["reviews"]["ratings"]["mark"], 3.9);
    assert_eq!(body["catalog"]["pricing"]["cents"], 2990);
    assert_eq!(body["orders"]["stock"], json!({"count": 9, "sold": 143, "shelf": "D2"}));
    assert!(!body.to_string().contains("secret"));
}

#[tokio::test]
async fn browsers_get_a_page() {
    let shop = open().await;
    let printed = run(&["call", "-i", &shop.shop.url("http", "/"), "-H", "accept: text/html,*/*"]).await;
    assert_eq!(printed.code, Some(0));
    for expected in [
        "content-type: text/html",
        "The Loom at Harbour Street",
        "€ 18.90",
        "4.4 of 5 by 128 readers",
        "reviews v3",
    ] {
        assert!(printed.out.contains(expected), "{expected:?} isn't in {}", printed.out);
    }
}

#[tokio::test]
async fn a_failed_call_is_a_502_that_names_it() {
    let broken = serve("reviews", &["--error-rate", "1"]).await;
    let nobody = nobody();
    let gone = &nobody.address;
    let catalog = serve(
        "catalog",
        &[
            &format!("--call=reviews=http://{}/reviews/{{id}}", broken.address()),
            &format!("--call=pricing=grpc://{gone}/Pricing/Quote"),
            &format!("--call=stock=tcp://{gone}"),
            &format!("--call=slow=http://{}/delay/60000", broken.address()),
            "--call-timeout=5s",
        ],
    )
    .await;
    let shop = serve("shop", &[&format!("--call=catalog=http://{}/books/{{id}}", catalog.address())]).await;
    let (code, answer) = call(&shop.url("http", "/books/1"), &[]).await;
    assert_eq!((code, &answer["status"]), (Some(1), &json!(502)));
    // The shop's call failed, and the trail of the failed answer still shows where it began.
    let errors: Vec<_> =
        answer["body"]["trail"].as_array().unwrap().iter().map(|hop| hop["error"].as_str()).collect();
    assert_eq!(errors.len(), 6, "{answer:#}");
    let (_, answer) = call(&catalog.url("http", "/books/1"), &[]).await;
    let errors = answer["body"]["errors"].to_string();
    for expected in [
        "reviews: 503",
        "pricing: The service is currently unavailable: cannot connect",
        "stock: cannot connect",
        "failed on purpose",
    ] {
        assert!(errors.contains(expected), "{expected:?} isn't in {errors}");
    }
}

#[tokio::test]
async fn a_slow_service_is_given_up() {
    let slow = serve("reviews", &["--latency", "60s"]).await;
    let catalog = serve(
        "catalog",
        &[&format!("--call=reviews=http://{}/reviews/1", slow.address()), "--call-timeout=50ms"],
    )
    .await;
    let (_, answer) = call(&catalog.url("http", "/books/1"), &[]).await;
    assert_eq!(answer["body"]["errors"], json!(["reviews: no answer within 50ms"]));
}

#[tokio::test]
async fn connections_that_were_closed_meanwhile_cost_nothing() {
    // The server closes without having said so, long before the catalog's next call.
    let reviews = always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", true).await;
    let catalog = serve("catalog", &[&format!("--call=reviews={}", reviews.url("http"))]).await;
    let printed =
        run(&["load", &catalog.url("http", "/books/1"), "--rate=5", "--requests=5", "--output=json"]).await;
    let report = printed.json();
    assert_eq!((&report["ok"], &report["failed"]), (&json!(5), &json!(0)), "{report:#}");
}

#[tokio::test]
async fn orders_are_counted() {
    let orders = serve("orders", &[]).await;
    for expected in 1..=2 {
        let body = get(&orders.url("http", "/orders/4"), &["-X", "POST"]).await;
        assert_eq!(body["order"], expected);
    }
}

#[tokio::test]
async fn foreign_answers_are_taken_as_they_are() {
    let other = serve("httpbin", &[]).await;
    let caller = serve("any", &[&format!("--call=text=http://{}/bytes/3", other.address())]).await;
    let body = get(&caller.url("http", "/"), &[]).await;
    assert_eq!((&body["text"], &body["trail"][1]["service"]), (&json!("abc"), &json!("text")));
}
