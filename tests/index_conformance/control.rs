//! Streams set in the index, deletions, and what recorders say.

use crate::bed::{Bed, at, stream};
use evertape::index::control::{Changed, Expected, Removed, ReportedState, StreamReport, StreamSetting};
use evertape::playback::hls::PlainHls;

fn setting(source: &str) -> StreamSetting {
    StreamSetting {
        source: source.into(),
        retention_us: Some(86_400_000_000),
        retention_bytes: None,
        hls: PlainHls::Fmp4,
        standby: true,
        paused: false,
    }
}

/// A change that must have been done; behind faults it may have been done by an attempt whose answer was lost.
fn done(bed: &Bed, changed: Changed) {
    match changed {
        Changed::Done(version) => assert!(version > 0),
        other => assert!(!bed.exact, "{other:?}"),
    }
}

pub async fn settings_are_changed_by_version(bed: Bed) {
    let (name, other) = (stream("sport/one"), stream("a"));
    assert_eq!(bed.index.settings().await.unwrap(), []);
    assert_eq!(bed.index.setting(&name).await.unwrap(), None);
    let empty = bed.index.settings_revision().await.unwrap();
    for expected in [Expected::Version(1), Expected::Present] {
        let changed = bed.index.put_setting(&name, &setting("demo:"), expected, at(1)).await.unwrap();
        assert_eq!(changed, Changed::Missing);
    }
    assert_eq!(bed.index.settings_revision().await.unwrap(), empty, "a refused change changes nothing");
    done(&bed, bed.index.put_setting(&name, &setting("udp://:1"), Expected::Absent, at(2)).await.unwrap());
    done(&bed, bed.index.put_setting(&other, &setting("demo:"), Expected::Absent, at(3)).await.unwrap());
    let kept = bed.index.setting(&name).await.unwrap().unwrap();
    assert_eq!((&kept.stream, &kept.setting, kept.changed), (&name, &setting("udp://:1"), at(2)));
    let again = bed.index.put_setting(&name, &setting("demo:"), Expected::Absent, at(4)).await.unwrap();
    assert_eq!(again, Changed::Stale(kept.version));
    let paused = StreamSetting { paused: true, ..setting("udp://:2") };
    done(&bed, bed.index.put_setting(&name, &paused, Expected::Version(kept.version), at(5)).await.unwrap());
    let newer = bed.index.setting(&name).await.unwrap().unwrap();
    assert_eq!((&newer.setting, newer.changed), (&paused, at(5)));
    assert!(newer.version > kept.version);
    let stale = bed.index.put_setting(&name, &setting("x"), Expected::Version(kept.version), at(6)).await.unwrap();
    assert_eq!(stale, Changed::Stale(newer.version));
    let names: Vec<_> = bed.index.settings().await.unwrap().into_iter().map(|s| s.stream).collect();
    assert_eq!(names, [other, name]);
    assert!(bed.index.settings_revision().await.unwrap() > empty);
    assert!(!format!("{kept:?}").contains("udp"), "a source may hold a password");
}

pub async fn a_deleted_stream_is_remembered_and_its_versions_are_not_given_again(bed: Bed) {
    let name = stream("one");
    let missing = bed.index.remove_setting(&name, Expected::Present, at(0)).await.unwrap();
    assert_eq!(missing, Changed::Missing);
    done(&bed, bed.index.put_setting(&name, &setting("demo:"), Expected::Absent, at(1)).await.unwrap());
    let first = bed.index.setting(&name).await.unwrap().unwrap().version;
    let stale = bed.index.remove_setting(&name, Expected::Version(first + 1), at(2)).await.unwrap();
    assert_eq!(stale, Changed::Stale(first));
    let before = bed.index.settings_revision().await.unwrap();
    let gone = bed.index.remove_setting(&name, Expected::Version(first), at(2)).await.unwrap();
    assert!(matches!(gone, Changed::Done(_)) || !bed.exact);
    assert!(bed.index.settings_revision().await.unwrap() > before);
    assert_eq!(bed.index.setting(&name).await.unwrap(), None);
    let removed = Removed { stream: name.clone(), at: at(2) };
    assert_eq!(bed.index.removed().await.unwrap(), std::slice::from_ref(&removed));
    // Set again, it is another stream; what the first one recorded is still to go.
    done(&bed, bed.index.put_setting(&name, &setting("demo:"), Expected::Absent, at(3)).await.unwrap());
    assert!(bed.index.setting(&name).await.unwrap().unwrap().version > first);
    assert_eq!(bed.index.removed().await.unwrap(), std::slice::from_ref(&removed));
    let other = Removed { stream: name, at: at(1) };
    bed.index.forget_removed(&other).await.unwrap();
    assert_eq!(bed.index.removed().await.unwrap(), std::slice::from_ref(&removed), "another deletion is meant");
    bed.index.forget_removed(&removed).await.unwrap();
    assert_eq!(bed.index.removed().await.unwrap(), []);
}

pub async fn an_archive_without_a_setting_is_deleted(bed: Bed) {
    let (name, other) = (stream("archived"), stream("set"));
    let before = bed.index.settings_revision().await.unwrap();
    assert_eq!(bed.index.remove_archive(&name, at(1)).await.unwrap(), Changed::Missing);
    assert_eq!(bed.index.settings_revision().await.unwrap(), before, "a refused change changes nothing");
    // Whoever records registers the stream.
    bed.index.acquire(&name, "recorder", at(1), 1_000_000).await.unwrap().unwrap();
    done(&bed, bed.index.remove_archive(&name, at(2)).await.unwrap());
    assert!(bed.index.settings_revision().await.unwrap() > before);
    assert_eq!(bed.index.removed().await.unwrap(), [Removed { stream: name.clone(), at: at(2) }]);
    done(&bed, bed.index.remove_archive(&name, at(3)).await.unwrap());
    assert_eq!(bed.index.removed().await.unwrap(), [Removed { stream: name, at: at(3) }]);
    // One that is set is not deleted in passing.
    bed.index.acquire(&other, "recorder", at(1), 1_000_000).await.unwrap().unwrap();
    done(&bed, bed.index.put_setting(&other, &setting("demo:"), Expected::Absent, at(4)).await.unwrap());
    let version = bed.index.setting(&other).await.unwrap().unwrap().version;
    assert_eq!(bed.index.remove_archive(&other, at(5)).await.unwrap(), Changed::Stale(version));
    assert_eq!(bed.index.removed().await.unwrap().len(), 1);
}

pub async fn of_racing_changes_one_wins(bed: Bed) {
    let name = stream("one");
    done(&bed, bed.index.put_setting(&name, &setting("demo:"), Expected::Absent, at(1)).await.unwrap());
    let version = bed.index.setting(&name).await.unwrap().unwrap().version;
    let other = bed.another().await;
    let (a, b) = (setting("udp://:1"), setting("udp://:2"));
    let (first, second) = tokio::join!(
        other.put_setting(&name, &a, Expected::Version(version), at(2)),
        other.put_setting(&name, &b, Expected::Version(version), at(2)),
    );
    let won = [first.unwrap(), second.unwrap()].map(|c| matches!(c, Changed::Done(_)));
    assert!(won[0] != won[1], "{won:?}");
    let kept = bed.index.setting(&name).await.unwrap().unwrap();
    assert_eq!(kept.setting, if won[0] { a } else { b });
}

pub async fn reports_replace_what_the_recorder_said_before(bed: Bed) {
    let report = |name: &str, state| StreamReport {
        stream: stream(name),
        node: "host".into(),
        from_file: true,
        source: "udp://@239.1.1.1:1234".into(),
        active: true,
        state,
        reason: Some("connection refused: “ñ”".into()),
        since_utc_us: at(5).0,
        waiting: 7,
        retention_us: None,
        retention_bytes: Some(9),
    };
    let (one, two) = (report("one", ReportedState::Recording), report("two", ReportedState::Reconnecting));
    bed.index.report("a", &[one.clone(), two.clone()], at(10)).await.unwrap();
    bed.index.report("b", std::slice::from_ref(&one), at(11)).await.unwrap();
    let said = |kept: Vec<evertape::index::control::KeptReport>| -> Vec<(String, i64, StreamReport)> {
        kept.into_iter().map(|k| (k.recorder, k.seen.0, k.report)).collect()
    };
    let all = said(bed.index.reports().await.unwrap());
    let expected =
        [("a".into(), at(10).0, one.clone()), ("b".into(), at(11).0, one.clone()), ("a".into(), at(10).0, two)];
    assert_eq!(all, expected);
    bed.index.report("a", &[], at(12)).await.unwrap();
    assert_eq!(said(bed.index.reports().await.unwrap()), [("b".into(), at(11).0, one.clone())]);
    // What a recorder said that is long gone is forgotten.
    bed.index.report("a", std::slice::from_ref(&one), at(11 + 2 * 86_400)).await.unwrap();
    assert_eq!(said(bed.index.reports().await.unwrap()), [("a".into(), at(11 + 2 * 86_400).0, one)]);
}
