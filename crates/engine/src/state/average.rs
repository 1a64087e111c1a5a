//! A moving average in one atomic word: its value and when it was last touched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time in which a value fades to 1/e: long enough to outlast a pause in traffic, short enough to try a slow endpoint
/// again (linkerd's default).
const DECAY: Duration = Duration::from_secs(10);

/// Binary digits of nanoseconds that a tick leaves out: one tick is 0.13 ms, and 32 bits of ticks last 6.5 days.
/// A value that nothing touches for that long looks fresh again, which costs one wrong comparison.
const TICK_SHIFT: u32 = 17;

/// The upper half holds an `f32`, the lower half ticks. All zero: no value yet.
#[derive(Debug, Default)]
pub(super) struct Average(AtomicU64);

impl Average {
    /// The value, faded by the time since it was last touched.
    pub(super) fn read(&self, elapsed: Duration) -> Option<f32> {
        let (value, touched) = unpack(self.0.load(Ordering::Relaxed))?;
        Some(value * fade(ticks(elapsed), touched))
    }

    /// The value as it was when it was last touched.
    pub(super) fn last(&self) -> Option<f32> {
        unpack(self.0.load(Ordering::Relaxed)).map(|(value, _)| value)
    }

    /// Takes a sample in: a higher one at once (a peak), a lower one by the time that has passed.
    pub(super) fn observe_peak(&self, sample: f32, elapsed: Duration) {
        self.update(elapsed, |value, fade| match value {
            Some(value) if sample < value => Some(value.mul_add(fade, sample * (1.0 - fade))),
            _ => Some(sample),
        });
    }

    /// Fades the value, then moves it by `share` of the way towards `sample`.
    pub(super) fn step(&self, sample: f32, share: f32, elapsed: Duration) {
        self.update(elapsed, |value, fade| {
            let value = value.unwrap_or_default() * fade;
            Some((sample - value).mul_add(share, value))
        });
    }

    /// Keeps the value from fading until now.
    pub(super) fn touch(&self, elapsed: Duration) {
        self.update(elapsed, |value, _| value);
    }

    pub(super) fn set(&self, value: f32, elapsed: Duration) {
        self.0.store(pack(value, ticks(elapsed)), Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn update(&self, elapsed: Duration, change: impl Fn(Option<f32>, f32) -> Option<f32>) {
        let now = ticks(elapsed);
        // The closure always gives a new word or leaves it alone on purpose; neither is a failure.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let current = unpack(word);
            let fade = current.map_or(1.0, |(_, touched)| fade(now, touched));
            change(current.map(|(value, _)| value), fade).map(|value| pack(value, now))
        });
    }
}

fn ticks(elapsed: Duration) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "ticks wrap, see TICK_SHIFT")]
    let ticks = (elapsed.as_nanos() >> TICK_SHIFT) as u32;
    ticks
}

/// The share of a value that is left. Another core may have touched it a little after `now` was read: then all is.
fn fade(now: u32, touched: u32) -> f32 {
    let passed = now.wrapping_sub(touched);
    if passed > u32::MAX / 2 {
        return 1.0;
    }
    let nanoseconds = f64::from(passed) * f64::from(1_u32 << TICK_SHIFT);
    let passed = nanoseconds / (DECAY.as_secs_f64() * 1e9);
    // Short times take no call: the next term is below 2^-24, so that an `f32` is off by its last digit at most.
    let left =
        if passed < 0.03 { 1.0 - passed * (1.0 - passed * (0.5 - passed / 6.0)) } else { (-passed).exp() };
    #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1")]
    let left = left as f32;
    left
}

fn pack(value: f32, ticks: u32) -> u64 {
    // Zero at tick zero would read as no value; its negative doesn't.
    let bits = if value > 0.0 { value.to_bits() } else { (-0.0_f32).to_bits() };
    (u64::from(bits) << 32) | u64::from(ticks)
}

fn unpack(word: u64) -> Option<(f32, u32)> {
    #[allow(clippy::cast_possible_truncation, reason = "two halves of a word")]
    let (bits, ticks) = ((word >> 32) as u32, word as u32);
    (bits != 0).then(|| (f32::from_bits(bits), ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn fading_is_the_power_at_all_times() {
        for passed in [0, 1, 100, 2_287, 2_288, 2_289, 10_000, 76_294, 1_000_000] {
            let nanoseconds = f64::from(passed) * f64::from(1_u32 << TICK_SHIFT);
            let power = (-nanoseconds / (DECAY.as_secs_f64() * 1e9)).exp();
            assert!((f64::from(fade(passed, 0)) - power).abs() <= f64::from(f32::EPSILON), "{passed} ticks");
        }
    }

    #[test]
    fn peaks_count_at_once_and_fade_slowly() {
        let average = Average::default();
        assert_eq!(average.read(at(0)), None);
        average.observe_peak(10.0, at(0));
        average.observe_peak(50.0, at(1));
        assert_eq!(average.read(at(1)), Some(50.0));
        average.observe_peak(10.0, at(1_001));
        let value = average.read(at(1_001)).unwrap();
        assert!((45.0..50.0).contains(&value), "{value}");
        let faded = average.read(at(11_001)).unwrap() / value;
        assert!((0.36..0.38).contains(&faded), "{faded}");
    }

    #[test]
    fn clocks_that_disagree_and_ticks_that_wrap_do_no_harm() {
        let average = Average::default();
        average.observe_peak(10.0, at(100));
        assert_eq!(average.read(at(99)), Some(10.0));
        let wrapped = Duration::from_nanos(1 << (32 + TICK_SHIFT));
        assert_eq!(average.read(wrapped + at(100)), Some(10.0));
        average.set(0.0, at(0));
        assert_eq!(average.read(at(0)), Some(0.0));
    }
}
