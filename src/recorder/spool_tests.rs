use super::*;
use crate::media::UtcUs;

fn id(stream: &StreamName, sequence: u64) -> SegmentId {
    SegmentId {
        stream: stream.clone(),
        run: RunId(7),
        epoch: 1,
        sequence,
        start: UtcUs(1_409_148_900_000_000),
        duration_us: 6_000_000,
    }
}

#[test]
fn entries_survive_reopening_in_order_and_leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let name = StreamName::parse("sport/uhd-1").unwrap();
    let holder = {
        let spool = Spool::open(dir.path(), 1 << 20).unwrap();
        let stream = spool.stream(&name).unwrap();
        for n in [11, 9, 10] {
            stream.put_segment(&id(&name, n), &[n as u8; 100]).unwrap();
        }
        fs::write(stream.folder.join(".tmp-x.cmfs"), b"half").unwrap();
        fs::write(stream.folder.join("nonsense.cmfs"), b"?").unwrap();
        assert!(Spool::open(dir.path(), 1).is_err(), "two processes in one spool");
        spool.holder().to_owned()
    };
    let spool = Spool::open(dir.path(), 1 << 20).unwrap();
    assert_eq!(spool.holder(), holder);
    assert_eq!(spool.streams().unwrap(), std::slice::from_ref(&name));
    let stream = spool.stream(&name).unwrap();
    let pending = stream.pending().unwrap();
    assert_eq!(pending.iter().map(|i| i.sequence).collect::<Vec<_>>(), [9, 10, 11]);
    assert_eq!(stream.segment(&pending[1]).unwrap(), [10; 100]);
    stream.remove(&pending[0]).unwrap();
    stream.remove(&pending[0]).unwrap();
    assert_eq!(stream.pending().unwrap().len(), 2);
    assert!(stream.folder.join("damaged/nonsense.cmfs").exists());
    assert!(!stream.folder.join(".tmp-x.cmfs").exists());
}

#[test]
fn a_full_spool_refuses_and_takes_again_once_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let name = StreamName::parse("x").unwrap();
    let spool = Spool::open(dir.path(), 250).unwrap();
    let stream = spool.stream(&name).unwrap();
    stream.put_segment(&id(&name, 1), &[0; 100]).unwrap();
    stream.put_segment(&id(&name, 2), &[0; 100]).unwrap();
    let full = stream.put_segment(&id(&name, 3), &[0; 100]).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    stream.remove(&id(&name, 1)).unwrap();
    stream.put_segment(&id(&name, 3), &[0; 100]).unwrap();
}

fn at(stream: &StreamName, sequence: u64, seconds: i64) -> SegmentId {
    SegmentId { start: UtcUs::from_seconds(1_409_148_900 + seconds), ..id(stream, sequence) }
}

#[test]
fn a_full_spool_drops_the_oldest_of_all_streams_but_not_what_is_being_published() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (StreamName::parse("x").unwrap(), StreamName::parse("y").unwrap());
    let spool = Spool::open_with(dir.path(), 350, WhenFull::DropOldest).unwrap();
    let (of_x, of_y) = (spool.stream(&x).unwrap(), spool.stream(&y).unwrap());
    for n in 0..3 {
        of_x.put_segment(&at(&x, n, n as i64 * 6), &[0; 100]).unwrap();
    }
    assert!(of_x.hold(&at(&x, 0, 0)));
    assert!(!spool.is_full());
    of_y.put_segment(&at(&y, 0, 100), &[0; 100]).unwrap();
    assert!(spool.is_full());
    assert_eq!(of_x.pending().unwrap(), [at(&x, 0, 0), at(&x, 2, 12)], "the one that is held stays");
    assert!(!of_x.hold(&at(&x, 1, 6)), "it is known to be gone");
    assert_eq!(spool.used_bytes(), 300);
    of_x.remove(&at(&x, 0, 0)).unwrap();
    of_x.remove(&at(&x, 2, 12)).unwrap();
    of_y.put_segment(&at(&y, 1, 106), &[0; 100]).unwrap();
    assert!(!spool.is_full());
}

/// A recorder whose times were moved lost its stream: what it had numbered comes before what it cut since.
#[test]
fn what_had_numbers_comes_first_and_what_is_set_back_is_not_placed_again() {
    let dir = tempfile::tempdir().unwrap();
    let x = StreamName::parse("x").unwrap();
    let plain = |sequence, start| SegmentId { epoch: 0, ..at(&x, sequence, start) };
    {
        let of_x = Spool::open(dir.path(), 10_000).unwrap().stream(&x).unwrap();
        for id in [plain(2, 6), plain(3, 12), plain(4, 18), plain(5, 24)] {
            of_x.put_shadow(&id, &[0; 10]).unwrap();
        }
        for id in [at(&x, 70, 20), at(&x, 71, 26)] {
            of_x.put_segment(&id, &[7; 10]).unwrap();
            of_x.demote(&id).unwrap();
        }
        of_x.set_back(&plain(2, 6)).unwrap();
        assert!(of_x.set_back(&plain(9, 9)).is_err(), "there is none");
    }
    let spool = Spool::open(dir.path(), 10_000).unwrap();
    let of_x = spool.stream(&x).unwrap();
    let expected = [at(&x, 70, 20), at(&x, 71, 26), plain(3, 12), plain(4, 18), plain(5, 24)];
    assert_eq!(of_x.shadows().unwrap(), expected);
    assert_eq!((of_x.all_shadows().unwrap().len(), spool.used_bytes()), (6, 60));
    assert_eq!(of_x.shadow(&plain(2, 6)).unwrap(), [0; 10]);
    of_x.remove_shadow(&plain(2, 6)).unwrap();
    assert_eq!((of_x.all_shadows().unwrap().len(), spool.used_bytes()), (5, 50));
}

#[test]
fn spare_shadows_go_first_and_shadows_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let x = StreamName::parse("x").unwrap();
    {
        let spool = Spool::open(dir.path(), 350).unwrap();
        let of_x = spool.stream(&x).unwrap();
        of_x.put_segment(&at(&x, 4, 0), &[4; 100]).unwrap();
        of_x.put_shadow(&at(&x, 5, 6), &[5; 100]).unwrap();
        of_x.put_segment(&at(&x, 6, 12), &[6; 100]).unwrap();
        of_x.demote(&at(&x, 6, 12)).unwrap();
        assert!(of_x.put_segment(&at(&x, 7, 18), &[7; 100]).is_err(), "nothing is spare");
    }
    let spool = Spool::open(dir.path(), 350).unwrap();
    let of_x = spool.stream(&x).unwrap();
    assert_eq!(of_x.shadows().unwrap(), [at(&x, 5, 6), at(&x, 6, 12)]);
    assert_eq!(of_x.shadow(&at(&x, 6, 12)).unwrap(), [6; 100]);
    of_x.set_spare(true);
    of_x.put_segment(&at(&x, 7, 18), &[7; 100]).unwrap();
    assert_eq!(of_x.shadows().unwrap(), [at(&x, 6, 12)]);
    assert_eq!(of_x.pending().unwrap().len(), 2);
}
