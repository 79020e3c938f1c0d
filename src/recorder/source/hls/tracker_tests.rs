use super::*;
use proptest::prelude::*;

/// A playlist of segments `first..first + count`, named after their content.
fn playlist(first: u64, names: &[&str]) -> MediaPlaylist {
    let segments = names
        .iter()
        .zip(first..)
        .map(|(name, sequence)| Listed {
            sequence,
            uri: format!("x/{name}.ts?token={sequence}"),
            range: None,
            duration_us: 4_000_000,
            discontinuity: false,
            utc: None,
            utc_stated: false,
            gap: false,
            map: None,
        })
        .collect();
    MediaPlaylist { target_us: 4_000_000, ended: false, segments }
}

fn dated(mut playlist: MediaPlaylist, first_s: i64) -> MediaPlaylist {
    for (segment, n) in playlist.segments.iter_mut().zip(0..) {
        segment.utc = Some(UtcUs::from_seconds(first_s + 4 * n));
    }
    playlist
}

fn sequences(plan: &Plan) -> Vec<u64> {
    plan.segments.iter().map(|p| p.listed.sequence).collect()
}

#[test]
fn a_live_start_takes_the_last_three_and_then_each_once() {
    let mut tracker = Tracker::default();
    let plan = tracker.plan(&playlist(10, &["a", "b", "c", "d", "e"]), Start::Edge, 0);
    assert_eq!(sequences(&plan), [12, 13, 14]);
    let plan = tracker.plan(&playlist(10, &["a", "b", "c", "d", "e"]), Start::Edge, 1);
    assert_eq!((sequences(&plan), plan.standing), (vec![], Standing::Unchanged));
    let plan = tracker.plan(&playlist(12, &["c", "d", "e", "f", "g"]), Start::Edge, 2);
    assert_eq!(sequences(&plan), [15, 16]);
    assert!(plan.segments.iter().all(|p| p.breaks.is_none() && p.missed == 0));
}

#[test]
fn what_fell_out_of_the_window_is_told() {
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(10, &["a", "b"]), Start::First, 0);
    let plan = tracker.plan(&playlist(15, &["f", "g"]), Start::First, 1);
    assert_eq!(sequences(&plan), [15, 16]);
    assert_eq!(plan.segments[0].missed, 3);
    assert_eq!(plan.segments[1].missed, 0);
    // Just in time is no loss.
    let plan = tracker.plan(&playlist(17, &["h"]), Start::First, 2);
    assert_eq!(plan.segments[0].missed, 0);
}

#[test]
fn a_stale_copy_is_ignored_and_the_fresh_one_goes_on() {
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(10, &["a", "b", "c", "d"]), Start::First, 0);
    for now in 1..5 {
        let plan = tracker.plan(&playlist(9, &["z", "a", "b"]), Start::First, now);
        assert_eq!((sequences(&plan), plan.standing), (vec![], Standing::Behind));
    }
    let plan = tracker.plan(&playlist(11, &["b", "c", "d", "e"]), Start::First, 9);
    assert_eq!(sequences(&plan), [14]);
    assert_eq!((plan.segments[0].breaks, plan.segments[0].missed), (None, 0));
}

#[test]
fn a_stale_copy_of_what_was_missed_is_ignored_too() {
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(8, &["a"]), Start::First, 0);
    tracker.plan(&playlist(14, &["g"]), Start::First, 1);
    for now in 2..6 {
        assert_eq!(tracker.plan(&playlist(13, &["f"]), Start::First, now).standing, Standing::Behind);
    }
}

#[test]
fn a_server_that_began_anew_is_followed_once_it_is_sure() {
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(100, &["a", "b", "c"]), Start::First, 0);
    let plan = tracker.plan(&playlist(0, &["x", "y"]), Start::First, 1);
    assert_eq!((sequences(&plan), plan.standing), (vec![], Standing::Behind));
    let plan = tracker.plan(&playlist(0, &["x", "y", "w"]), Start::First, 2);
    assert_eq!(sequences(&plan), [0, 1, 2]);
    assert!(plan.segments[0].breaks.is_some() && plan.segments[1].breaks.is_none());
    let plan = tracker.plan(&playlist(1, &["y", "w", "v"]), Start::First, 3);
    assert_eq!(sequences(&plan), [3]);
}

#[test]
fn a_server_that_began_anew_under_the_same_names() {
    // By wall time, where there is one.
    let mut tracker = Tracker::default();
    tracker.plan(&dated(playlist(0, &["s0", "s1", "s2", "s3"]), 1000), Start::First, 0);
    tracker.plan(&dated(playlist(0, &["s0", "s1"]), 5000), Start::First, 1);
    let plan = tracker.plan(&dated(playlist(0, &["s0", "s1"]), 5000), Start::First, 2);
    assert_eq!(sequences(&plan), [0, 1]);
    assert!(plan.segments[0].breaks.is_some());
    // By patience, where there is none.
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(0, &["s0", "s1", "s2", "s3"]), Start::First, 0);
    assert_eq!(tracker.plan(&playlist(0, &["s0"]), Start::First, 1).standing, Standing::Behind);
    assert_eq!(tracker.plan(&playlist(0, &["s0", "s1"]), Start::First, 20_000).standing, Standing::Behind);
    assert_eq!(sequences(&tracker.plan(&playlist(0, &["s0", "s1", "s2"]), Start::First, 24_002)), [0, 1, 2]);
}

#[test]
fn renumbered_segments_are_not_taken_twice() {
    let mut tracker = Tracker::default();
    tracker.plan(&playlist(100, &["a", "b", "c"]), Start::First, 0);
    let plan = tracker.plan(&playlist(0, &["b", "c", "d"]), Start::First, 1);
    assert_eq!(sequences(&plan), [2]);
    assert_eq!((plan.segments[0].breaks, plan.segments[0].missed), (None, 0));
    // And the numbers go on from there.
    assert_eq!(sequences(&tracker.plan(&playlist(1, &["c", "d", "e"]), Start::First, 2)), [3]);
    assert_eq!(tracker.plan(&playlist(0, &["b", "c", "d"]), Start::First, 3).standing, Standing::Behind);
}

#[test]
fn one_name_for_all_is_no_name() {
    let mut list = playlist(5, &["live", "live", "live"]);
    let mut tracker = Tracker::default();
    tracker.plan(&list, Start::First, 0);
    list = playlist(6, &["live", "live", "live"]);
    assert_eq!(sequences(&tracker.plan(&list, Start::First, 1)), [8]);
}

#[test]
fn marked_breaks_are_kept_and_the_first_is_none() {
    let mut list = playlist(1, &["a", "b", "c"]);
    list.segments[0].discontinuity = true;
    list.segments[2].discontinuity = true;
    let plan = Tracker::default().plan(&list, Start::First, 0);
    let marks: Vec<bool> = plan.segments.iter().map(|p| p.breaks.is_some()).collect();
    assert_eq!(marks, [false, false, true]);
}

#[test]
fn another_rendition_starts_beside_the_lead() {
    let near = |utc, sequence| Start::Near { utc, sequence };
    let list = dated(playlist(500, &["a", "b", "c", "d", "e", "f"]), 1000);
    let first = |start| sequences(&Tracker::default().plan(&list, start, 0))[0];
    assert_eq!(first(near(Some(UtcUs::from_seconds(1004)), 7)), 501);
    assert_eq!(first(near(Some(UtcUs::from_seconds(1005)), 7)), 501);
    assert_eq!(first(near(None, 504)), 504);
    assert_eq!(first(near(None, 7)), 503);
}

#[test]
fn what_was_recorded_by_an_earlier_session_is_not_planned_again() {
    let mut recorded = Tracker::default();
    let mut session = recorded.clone();
    let plan = session.plan(&playlist(10, &["a", "b", "c"]), Start::First, 0);
    recorded.commit(plan.segments[0].known.clone());
    let mut next = recorded.clone();
    assert_eq!(sequences(&next.plan(&playlist(10, &["a", "b", "c", "d"]), Start::Edge, 5)), [11, 12, 13]);
}

proptest! {
    /// A server that slides, sleeps, and answers from stale copies: every segment once, in order, none twice.
    #[test]
    fn no_segment_twice(steps in proptest::collection::vec((0u64..6, 0u64..4, 1u64..8), 1..60)) {
        let mut tracker = Tracker::default();
        let (mut edge, mut next) = (10u64, None);
        for (now, (advance, stale, window)) in steps.into_iter().enumerate() {
            edge += advance;
            let newest = edge - stale.min(edge - 8);
            let first = (newest + 1).saturating_sub(window).max(1);
            let names: Vec<String> = (first..=newest).map(|n| format!("s{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let plan = tracker.plan(&playlist(first, &names), Start::Edge, now as u64);
            for planned in &plan.segments {
                let sequence = planned.listed.sequence;
                if let Some(next) = next {
                    prop_assert_eq!(sequence, next + planned.missed);
                    prop_assert!(planned.breaks.is_none());
                }
                next = Some(sequence + 1);
            }
        }
    }
}
