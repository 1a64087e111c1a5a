//! What happened when, from what `leno status` said. Pure: others ask and print.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use super::hops::{self, Hop};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What became ready, in the order of becoming so.
    events: Vec<(Duration, String)>,
    waiting: Vec<String>,
    first: Option<(Duration, Vec<Hop>)>,
    /// The last answer that wasn't the page.
    refused: Option<String>,
}

impl Timeline {
    /// Takes an answer of `leno status --output json`.
    pub(super) fn observe(&mut self, status: &Value, at: Duration) {
        let list = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
        let programs =
            list("programs").map(|program| (program, program.get("ready") == Some(&Value::Bool(true))));
        let replicas = list("replicas")
            .map(|replica| (replica, replica.get("phase").is_some_and(|phase| phase == "ready")));
        self.waiting.clear();
        for (item, is_ready) in programs.chain(replicas) {
            let Some(name) = item.get("name").and_then(Value::as_str) else { continue };
            if !is_ready {
                self.waiting.push(name.to_owned());
            } else if !self.events.iter().any(|(_, known)| known == name) {
                self.events.push((at, name.to_owned()));
            }
        }
    }

    /// Whether it is worth calling.
    pub(super) fn gateway_is_ready(&self) -> bool {
        self.events.iter().any(|(_, name)| name == "gateway")
    }

    /// Takes an answer of the gateway; whether it was the whole page.
    pub(super) fn answered(&mut self, answer: &Value, at: Duration) -> bool {
        match hops::of_answer(answer) {
            Some(hops) => {
                self.first = Some((at, hops));
                self.waiting.clear();
                true
            }
            None => {
                self.refused = Some(answer.get("status").map(ToString::to_string).unwrap_or_default());
                false
            }
        }
    }

    /// All of it for a person.
    pub(super) fn text(&self, gateway: &str) -> String {
        let mut text = String::from("\nseconds since the build's end\n");
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, gateway);
        text
    }

    fn write(&self, text: &mut String, gateway: &str) -> std::fmt::Result {
        let mut events = self.events.iter().peekable();
        while let Some((at, name)) = events.next() {
            let mut names = name.clone();
            // What one answer said happened at one time.
            while let Some((_, name)) = events.next_if(|(next, _)| next == at) {
                write!(names, ", {name}")?;
            }
            writeln!(text, "  {:6.2}  ready: {names}", at.as_secs_f64())?;
        }
        let Some((at, hops)) = &self.first else {
            if let Some(status) = &self.refused {
                writeln!(text, "          the gateway answered with status {status}")?;
            }
            return writeln!(text, "          still waiting for {}", self.waiting.join(", "));
        };
        let (calls, proved) = (hops.len(), hops::proved(hops));
        writeln!(
            text,
            "  {:6.2}  first page from {gateway}, made of {calls} calls; in {proved} both ends showed an identity:\n",
            at.as_secs_f64()
        )?;
        text.push_str(&hops::lines(hops));
        write!(
            text,
            "\nwhat to try next
  the shop, in a browser or here    curl {gateway}
  reviews v3, by a header           curl -H 'x-shop-reader: critic' {gateway}
  ten requests a second             target/debug/leno-sample load --rate 10 {gateway}
  what runs, and what is in effect  target/debug/leno status
  what a request would meet         target/debug/leno explain --help
  a look from inside a workload     target/debug/leno exec catalog-v1 -- cat /etc/resolv.conf
  change a weight while it runs     $EDITOR examples/demo/config/reviews.yaml
  end it                            Ctrl-C here, or target/debug/leno down\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(control: bool, shop: &str) -> Value {
        json!({"programs": [{"name": "control", "ready": control}, {"name": "gateway", "ready": control}],
               "replicas": [{"name": "shop-v1", "phase": shop}]})
    }

    #[test]
    fn each_thing_appears_once_with_its_first_time() {
        let mut timeline = Timeline::default();
        timeline.observe(&status(false, "waiting"), Duration::from_millis(100));
        assert!(!timeline.gateway_is_ready());
        timeline.observe(&status(true, "starting"), Duration::from_millis(200));
        timeline.observe(&status(true, "ready"), Duration::from_millis(300));
        timeline.observe(&status(true, "ready"), Duration::from_millis(400));
        assert!(timeline.gateway_is_ready());
        let hop = json!({"service": "shop", "version": "v1", "protocol": "HTTP/1.1"});
        assert!(timeline.answered(&json!({"status": 200, "body": {"trail": [hop]}}), Duration::from_secs(1)));
        let text = timeline.text("http://x/");
        assert!(
            text.contains("0.20  ready: control, gateway\n    0.30  ready: shop-v1\n    1.00  first page"),
            "{text}"
        );
        assert!(text.contains("curl http://x/"), "{text}");
    }

    #[test]
    fn a_start_that_hangs_names_what_is_missing() {
        let mut timeline = Timeline::default();
        timeline.observe(&status(true, "starting"), Duration::from_millis(200));
        assert!(!timeline.answered(&json!({"status": 503, "body": "no"}), Duration::from_millis(250)));
        let text = timeline.text("http://x/");
        assert!(text.contains("status 503") && text.contains("still waiting for shop-v1"), "{text}");
    }
}
