//! Init segments: those that listed rows need are in the bucket, and known to the index.

use super::adopting::read_init;
use super::objects::Unread;
use super::report::Kind;
use super::{CheckError, Run, patiently};
use crate::container::cmaf;
use crate::crash_points::reached;
use crate::media::{InitHash, InitInfo, ObjectKey, Segment, StreamName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The init segments that rows need, by stream: few.
#[derive(Default)]
pub(super) struct Referenced {
    hashes: Mutex<BTreeMap<StreamName, BTreeSet<InitHash>>>,
}

impl Referenced {
    pub fn add(&self, stream: &StreamName, segment: &Segment) {
        let mut streams = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        match streams.get_mut(stream) {
            Some(hashes) => hashes.extend(segment.tracks.iter().map(|t| t.init)),
            None => {
                streams.insert(stream.clone(), segment.tracks.iter().map(|t| t.init).collect());
            }
        }
    }
}

/// Compares them, and mends with repair.
pub(super) async fn compare(run: &Run, referenced: &Referenced) -> Result<(), CheckError> {
    let streams = referenced.hashes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (stream, hashes) in streams {
        for hash in hashes {
            one(run, &stream, hash).await?;
        }
    }
    Ok(())
}

async fn one(run: &Run, stream: &StreamName, hash: InitHash) -> Result<(), CheckError> {
    let key = ObjectKey::init(stream, hash);
    let known = patiently(async || run.index.inits(stream, &[hash]).await).await;
    let known: Option<InitInfo> = known.ok().and_then(|mut infos| infos.pop());
    match read_init(run, stream, hash).await? {
        Ok(info) => {
            if known.as_ref() != Some(&info) {
                run.report.add(Kind::InitUnknown, Some(stream), &key, "");
                if run.options.repair && known.is_none() {
                    patiently(async || run.index.adopt(stream, &[], std::slice::from_ref(&info)).await).await?;
                    reached("repair.init-known");
                    run.report.repaired(Kind::InitUnknown, 1);
                }
            }
        }
        Err(Unread::Damaged(why)) => run.report.add(Kind::InitDamaged, Some(stream), &key, why),
        Err(Unread::Store(error)) => return Err(error.into()),
        Err(Unread::Gone) => {
            run.report.add(Kind::InitMissing, Some(stream), &key, "");
            let bytes = known.map(|info| cmaf::init_segment(&info.params));
            if let Some(bytes) = bytes.filter(|b| run.options.repair && InitHash::of(b) == hash) {
                let bytes = bytes::Bytes::from(bytes);
                patiently(async || run.store.put(&key, bytes.clone(), "video/mp4").await).await?;
                reached("repair.init-stored");
                run.report.repaired(Kind::InitMissing, 1);
            }
        }
    }
    Ok(())
}
