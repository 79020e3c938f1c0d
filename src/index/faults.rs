//! A fault injector around any index, for tests: calls that fail, answers that get lost, delays.
//!
//! Comes in: an index and a script or a seed. Goes out: the same port. The same seed gives the same faults for
//! the same order of calls. Never: a fault nobody asked for.

use super::control::{Changed, Control, Expected, KeptReport, KeptSetting, Removed, StreamReport, StreamSetting};
use super::error::error;
use super::{
    Adopted, Amount, AppliedRetention, Deletable, Extent, Index, IndexErrorKind, Keeping, Lease, Published,
    RecorderBeat, Result, Row, Tail,
};
use crate::media::lock::{Lock, LockId};
use crate::media::segment::{SegmentId, SegmentWithTables};
use crate::media::track::{InitInfo, Uncarried};
use crate::media::{InitHash, SampleTable, Segment, StreamName, UtcRange, UtcUs};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails before it reaches the index.
    Before,
    /// It is done, but its answer is lost.
    After,
    /// It is done after a while.
    Delay(Duration),
    /// It never reaches the index, and never answers: whoever waits is about to be killed.
    HangBefore,
    /// It is done, and never answers: whoever waits is about to be killed.
    HangAfter,
}

/// Which faults come, of a hundred calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Calls in a hundred that fail before the index.
    pub before_percent: u8,
    /// Calls in a hundred whose answer is lost.
    pub after_percent: u8,
    /// Calls in a hundred that are delayed.
    pub delay_percent: u8,
    /// By how much.
    pub delay: Duration,
}

#[derive(Debug)]
struct Plan {
    script: VecDeque<Fault>,
    random: Option<(u64, Rates)>,
    out: bool,
    delay: Duration,
    injected: u64,
}

/// An index with faults. Its clones share one plan.
pub struct FaultyIndex<I: ?Sized> {
    plan: Arc<Mutex<Plan>>,
    hung: Arc<Notify>,
    inner: Arc<I>,
}

impl<I: ?Sized> Clone for FaultyIndex<I> {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), hung: self.hung.clone(), inner: self.inner.clone() }
    }
}

impl<I: Index + ?Sized> FaultyIndex<I> {
    /// The faults of `script`, one for each call; none after its end.
    pub fn scripted(inner: Arc<I>, script: impl IntoIterator<Item = Fault>) -> Self {
        Self::with(inner, script.into_iter().collect(), None)
    }

    /// Faults at random, by `seed`.
    pub fn seeded(inner: Arc<I>, seed: u64, rates: Rates) -> Self {
        Self::with(inner, VecDeque::new(), Some((seed, rates)))
    }

    fn with(inner: Arc<I>, script: VecDeque<Fault>, random: Option<(u64, Rates)>) -> Self {
        let plan = Plan { script, random, out: false, delay: Duration::ZERO, injected: 0 };
        Self { plan: Arc::new(Mutex::new(plan)), hung: Arc::default(), inner }
    }

    /// Cuts the index off (every call fails before it), or connects it again.
    pub fn set_out(&self, out: bool) {
        self.plan().out = out;
    }

    /// Every call takes so much longer.
    pub fn set_delay(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// No more faults from now on.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.script.clear();
        plan.random = None;
        plan.out = false;
        plan.delay = Duration::ZERO;
    }

    /// Faults that happened so far.
    pub fn injected(&self) -> u64 {
        self.plan().injected
    }

    /// Waits until a call hangs.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    async fn hang<T>(&self) -> T {
        self.hung.notify_one();
        std::future::pending().await
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(&self, name: &str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let (fault, delay) = {
            let mut plan = self.plan();
            (plan.next(), plan.delay)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            Fault::None => call.await,
            Fault::Before => Err(injected(name, "did not reach the index")),
            Fault::After => {
                call.await?;
                Err(injected(name, "was done, its answer is lost"))
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::HangBefore => self.hang().await,
            Fault::HangAfter => {
                call.await?;
                self.hang().await
            }
        }
    }
}

fn injected(name: &str, what: &str) -> super::IndexError {
    error(IndexErrorKind::Unavailable, format!("injected fault: {name} {what}"))
}

impl Plan {
    fn next(&mut self) -> Fault {
        let fault = if self.out {
            Fault::Before
        } else if let Some(fault) = self.script.pop_front() {
            fault
        } else if let Some((state, rates)) = &mut self.random {
            rates.pick(next_random(state) % 100)
        } else {
            Fault::None
        };
        self.injected += u64::from(fault != Fault::None);
        fault
    }
}

impl Rates {
    fn pick(&self, of_hundred: u64) -> Fault {
        let before = u64::from(self.before_percent);
        let after = before + u64::from(self.after_percent);
        let delay = after + u64::from(self.delay_percent);
        match of_hundred {
            n if n < before => Fault::Before,
            n if n < after => Fault::After,
            n if n < delay => Fault::Delay(self.delay),
            _ => Fault::None,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[async_trait::async_trait]
impl<I: Index + ?Sized> Index for FaultyIndex<I> {
    async fn migrate(&self) -> Result<()> {
        self.call("migrate", self.inner.migrate()).await
    }

    async fn ping(&self) -> Result<()> {
        self.call("ping", self.inner.ping()).await
    }

    async fn streams(&self) -> Result<Vec<StreamName>> {
        self.call("streams", self.inner.streams()).await
    }

    async fn acquire(&self, stream: &StreamName, holder: &str, now: UtcUs, ttl_us: i64) -> Result<Option<Lease>> {
        self.call("acquire", self.inner.acquire(stream, holder, now, ttl_us)).await
    }

    async fn holder(&self, stream: &StreamName) -> Result<Option<Lease>> {
        self.call("holder", self.inner.holder(stream)).await
    }

    async fn renew(&self, lease: &Lease, now: UtcUs, ttl_us: i64) -> Result<Lease> {
        self.call("renew", self.inner.renew(lease, now, ttl_us)).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.call("release", self.inner.release(lease)).await
    }

    async fn tail(&self, stream: &StreamName) -> Result<Tail> {
        self.call("tail", self.inner.tail(stream)).await
    }

    async fn publish(&self, lease: &Lease, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        self.call("publish", self.inner.publish(lease, segment, inits)).await
    }

    async fn fill(&self, segment: &SegmentWithTables, inits: &[InitInfo]) -> Result<Published> {
        self.call("fill", self.inner.fill(segment, inits)).await
    }

    async fn beat(&self, beat: &RecorderBeat) -> Result<Vec<RecorderBeat>> {
        self.call("beat", self.inner.beat(beat)).await
    }

    async fn window(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Segment>> {
        self.call("window", self.inner.window(stream, window, after, limit)).await
    }

    async fn newest(&self, stream: &StreamName, before: UtcUs, count: usize) -> Result<Vec<Segment>> {
        self.call("newest", self.inner.newest(stream, before, count)).await
    }

    async fn sample_tables(&self, stream: &StreamName, from: u64, to: u64) -> Result<Vec<(u64, Vec<SampleTable>)>> {
        self.call("sample_tables", self.inner.sample_tables(stream, from, to)).await
    }

    async fn inits(&self, stream: &StreamName, hashes: &[InitHash]) -> Result<Vec<InitInfo>> {
        self.call("inits", self.inner.inits(stream, hashes)).await
    }

    async fn extent(&self, stream: &StreamName) -> Result<Option<Extent>> {
        self.call("extent", self.inner.extent(stream)).await
    }

    async fn ranges(
        &self,
        stream: &StreamName,
        window: UtcRange,
        tolerance_us: i64,
        limit: usize,
    ) -> Result<Vec<UtcRange>> {
        self.call("ranges", self.inner.ranges(stream, window, tolerance_us, limit)).await
    }

    async fn set_uncarried(&self, stream: &StreamName, uncarried: &[Uncarried]) -> Result<()> {
        self.call("set_uncarried", self.inner.set_uncarried(stream, uncarried)).await
    }

    async fn uncarried(&self, stream: &StreamName) -> Result<Vec<Uncarried>> {
        self.call("uncarried", self.inner.uncarried(stream)).await
    }

    async fn mark_expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs, limit: usize) -> Result<u64> {
        self.call("mark_expired", self.inner.mark_expired(stream, cutoff, now, limit)).await
    }

    async fn deletable(&self, stream: &StreamName, marked_before: UtcUs, limit: usize) -> Result<Vec<Deletable>> {
        self.call("deletable", self.inner.deletable(stream, marked_before, limit)).await
    }

    async fn delete(&self, segments: &[SegmentId]) -> Result<()> {
        self.call("delete", self.inner.delete(segments)).await
    }
}

#[async_trait::async_trait]
impl<I: Index + ?Sized> Keeping for FaultyIndex<I> {
    async fn adopt(&self, stream: &StreamName, segments: &[SegmentWithTables], inits: &[InitInfo]) -> Result<Adopted> {
        self.call("adopt", self.inner.adopt(stream, segments, inits)).await
    }

    async fn withdraw(&self, stream: &StreamName, segments: &[SegmentId]) -> Result<u64> {
        self.call("withdraw", self.inner.withdraw(stream, segments)).await
    }

    async fn rows(
        &self,
        stream: &StreamName,
        window: UtcRange,
        after: Option<(UtcUs, u64)>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.call("rows", self.inner.rows(stream, window, after, limit)).await
    }

    async fn row(&self, stream: &StreamName, sequence: u64) -> Result<Option<Row>> {
        self.call("row", self.inner.row(stream, sequence)).await
    }

    async fn mark(&self, segments: &[SegmentId], now: UtcUs) -> Result<u64> {
        self.call("mark", self.inner.mark(segments, now)).await
    }

    async fn add_lock(&self, lock: &Lock) -> Result<()> {
        self.call("add_lock", self.inner.add_lock(lock)).await
    }

    async fn locks(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<Lock>> {
        self.call("locks", self.inner.locks(stream, window)).await
    }

    async fn remove_lock(&self, stream: &StreamName, id: LockId) -> Result<bool> {
        self.call("remove_lock", self.inner.remove_lock(stream, id)).await
    }

    async fn forget_locks(&self, expired_before: UtcUs) -> Result<u64> {
        self.call("forget_locks", self.inner.forget_locks(expired_before)).await
    }

    async fn stored_bytes(&self, stream: &StreamName) -> Result<u64> {
        self.call("stored_bytes", self.inner.stored_bytes(stream)).await
    }

    async fn all_stored_bytes(&self) -> Result<Vec<(StreamName, u64)>> {
        self.call("all_stored_bytes", self.inner.all_stored_bytes()).await
    }

    async fn hour_bytes(&self, stream: &StreamName, window: UtcRange) -> Result<Vec<(UtcUs, u64)>> {
        self.call("hour_bytes", self.inner.hour_bytes(stream, window)).await
    }

    async fn bytes_cutoff(&self, stream: Option<&StreamName>, keep_bytes: u64) -> Result<Option<UtcUs>> {
        self.call("bytes_cutoff", self.inner.bytes_cutoff(stream, keep_bytes)).await
    }

    async fn expired(&self, stream: &StreamName, cutoff: UtcUs, now: UtcUs) -> Result<Amount> {
        self.call("expired", self.inner.expired(stream, cutoff, now)).await
    }

    async fn applied_retention(&self, stream: &StreamName) -> Result<Option<AppliedRetention>> {
        self.call("applied_retention", self.inner.applied_retention(stream)).await
    }

    async fn set_applied_retention(&self, stream: &StreamName, applied: &AppliedRetention) -> Result<()> {
        self.call("set_applied_retention", self.inner.set_applied_retention(stream, applied)).await
    }

    async fn integrity(&self) -> Result<Vec<String>> {
        self.call("integrity", self.inner.integrity()).await
    }

    async fn deletable_spans(&self, marked_before: UtcUs, limit: usize) -> Result<Vec<UtcRange>> {
        self.call("deletable_spans", self.inner.deletable_spans(marked_before, limit)).await
    }

    async fn delete_span(&self, span: UtcRange, marked_before: UtcUs, segments: u64) -> Result<bool> {
        self.call("delete_span", self.inner.delete_span(span, marked_before, segments)).await
    }
}

#[async_trait::async_trait]
impl<I: Index + ?Sized> Control for FaultyIndex<I> {
    async fn settings_revision(&self) -> Result<u64> {
        self.call("settings_revision", self.inner.settings_revision()).await
    }

    async fn settings(&self) -> Result<Vec<KeptSetting>> {
        self.call("settings", self.inner.settings()).await
    }

    async fn setting(&self, stream: &StreamName) -> Result<Option<KeptSetting>> {
        self.call("setting", self.inner.setting(stream)).await
    }

    async fn put_setting(
        &self,
        stream: &StreamName,
        setting: &StreamSetting,
        expected: Expected,
        now: UtcUs,
    ) -> Result<Changed> {
        self.call("put_setting", self.inner.put_setting(stream, setting, expected, now)).await
    }

    async fn remove_setting(&self, stream: &StreamName, expected: Expected, now: UtcUs) -> Result<Changed> {
        self.call("remove_setting", self.inner.remove_setting(stream, expected, now)).await
    }

    async fn remove_archive(&self, stream: &StreamName, now: UtcUs) -> Result<Changed> {
        self.call("remove_archive", self.inner.remove_archive(stream, now)).await
    }

    async fn removed(&self) -> Result<Vec<Removed>> {
        self.call("removed", self.inner.removed()).await
    }

    async fn forget_removed(&self, removed: &Removed) -> Result<()> {
        self.call("forget_removed", self.inner.forget_removed(removed)).await
    }

    async fn report(&self, recorder: &str, reports: &[StreamReport], now: UtcUs) -> Result<()> {
        self.call("report", self.inner.report(recorder, reports, now)).await
    }

    async fn reports(&self) -> Result<Vec<KeptReport>> {
        self.call("reports", self.inner.reports()).await
    }
}
