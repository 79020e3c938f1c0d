//! How long to wait before the next attempt: doubling, bounded, with jitter from a seed.

use std::time::Duration;

/// Waits between attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    state: u64,
}

impl Backoff {
    /// Waits from `first` up to `most`; `seed` decides the jitter, so that many sources do not knock at once.
    pub fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, next: first, state: seed }
    }

    /// The attempt before went well: the next wait is short again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait: between half and the whole of the step, which doubles each time up to the most.
    pub fn wait(&mut self) -> Duration {
        let step = self.next.min(self.most);
        self.next = self.next.saturating_mul(2).min(self.most);
        let half = step / 2;
        let half_us = u64::try_from(half.as_micros()).unwrap_or(u64::MAX - 1);
        half + Duration::from_micros(self.random() % (half_us + 1))
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_differ_by_seed() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(500), ms(30_000), 7);
        let waits: Vec<_> = (0..12).map(|_| backoff.wait()).collect();
        for (n, wait) in waits.iter().enumerate() {
            let step = ms(500 << n.min(6)).min(ms(30_000));
            assert!(*wait >= step / 2 && *wait <= step, "{n}: {wait:?}");
        }
        let mut other = Backoff::new(ms(500), ms(30_000), 8);
        assert_ne!(waits, (0..12).map(|_| other.wait()).collect::<Vec<_>>());
        backoff.reset();
        assert!(backoff.wait() <= ms(500));
    }
}
