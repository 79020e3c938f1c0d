//! What only a directory can get wrong; the port itself is tested in `tests/store_conformance.rs`.

use super::*;
use crate::store::read_all;
use std::os::unix::fs::symlink;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

async fn put(store: &DirectoryStore, name: &str, body: &'static [u8]) -> Result<Put> {
    store.put(&key(name), Bytes::from_static(body), "video/mp4").await
}

#[tokio::test]
async fn an_object_and_a_folder_cannot_share_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    put(&store, "a", b"1").await.unwrap();
    let error = put(&store, "a/b", b"2").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Other);
    assert!(error.message.contains("in the way"), "{error}");
    put(&store, "c/d", b"3").await.unwrap();
    let error = put(&store, "c", b"4").await.unwrap_err();
    assert!(error.message.contains("in the way"), "{error}");
    assert_eq!(store.head(&key("c")).await.unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(store.head(&key("a/b")).await.unwrap_err().kind, StoreErrorKind::NotFound);
    store.delete(&[key("c"), key("a/b")]).await.unwrap();
    assert_eq!(read_all(&store, &key("c/d"), 0..9).await.unwrap(), "3");
}

#[tokio::test]
async fn no_symbolic_link_is_followed() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), b"outside").unwrap();
    let store = DirectoryStore::open(inside.path()).unwrap();
    symlink(outside.path(), inside.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
    for name in ["folder/secret", "file"] {
        assert_eq!(store.get(&key(name), 0..9).await.err().unwrap().kind, StoreErrorKind::Refused, "{name}");
        assert_eq!(store.head(&key(name)).await.unwrap_err().kind, StoreErrorKind::Refused, "{name}");
        assert_eq!(put(&store, name, b"x").await.unwrap_err().kind, StoreErrorKind::Refused, "{name}");
    }
    assert_eq!(put(&store, "folder/new/deep", b"x").await.unwrap_err().kind, StoreErrorKind::Refused);
    assert_eq!(store.delete(&[key("folder/secret")]).await.unwrap_err().kind, StoreErrorKind::Refused);
    assert_eq!(store.list("", None, 10).await.unwrap(), vec![]);
    assert!(store.list("folder/", None, 10).await.is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"outside");
}

#[tokio::test]
async fn foreign_files_are_not_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    fs::write(folder.path().join("with space"), b"x").unwrap();
    fs::write(folder.path().join(".hidden"), b"x").unwrap();
    put(&store, "a/b", b"1").await.unwrap();
    let listed: Vec<_> = store.list("", None, 10).await.unwrap().into_iter().map(|info| info.key).collect();
    assert_eq!(listed, vec![key("a/b")]);
}

#[tokio::test]
async fn leftovers_go_after_an_hour_and_emptied_folders_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join(MARKER).join("tmp");
    fs::create_dir_all(&tmp).unwrap();
    for (name, age_s) in [("old", 3700), ("young", 60)] {
        let file = File::create(tmp.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
    }
    let store = DirectoryStore::open(folder.path()).unwrap();
    put(&store, "a/b/c", b"1").await.unwrap();
    put(&store, "a/d", b"1").await.unwrap();
    let left: Vec<_> = fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, vec!["young"], "old leftovers go, a put leaves none");
    store.delete(&[key("a/b/c")]).await.unwrap();
    assert!(!folder.path().join("a/b").exists() && folder.path().join("a/d").exists());
    store.delete(&[key("a/d")]).await.unwrap();
    assert!(!folder.path().join("a").exists());
}

#[tokio::test]
async fn a_store_whose_disk_went_away_is_unavailable_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let store = DirectoryStore::open(&root).unwrap();
    put(&store, "a/b", b"1").await.unwrap();
    fs::rename(&root, folder.path().join("elsewhere")).unwrap();
    for empty_mount_point in [false, true] {
        if empty_mount_point {
            fs::create_dir(&root).unwrap();
        }
        let kinds = [
            put(&store, "a/c", b"1").await.unwrap_err().kind,
            store.get(&key("a/b"), 0..1).await.err().unwrap().kind,
            store.head(&key("a/b")).await.unwrap_err().kind,
            store.delete(&[key("a/b")]).await.unwrap_err().kind,
            store.list("", None, 1).await.unwrap_err().kind,
            store.ping().await.unwrap_err().kind,
        ];
        assert_eq!(kinds, [StoreErrorKind::Unavailable; 6], "{empty_mount_point}");
    }
}

/// A delete that empties a folder must not make a put fail that needs the same folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn puts_and_deletes_race_for_folders() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(DirectoryStore::open(folder.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mine = key(&format!("x/y/z/{task}"));
            for _ in 0..50 {
                assert_eq!(store.put(&mine, Bytes::from_static(b"body"), "video/mp4").await.unwrap(), Put::Written);
                assert_eq!(store.head(&mine).await.unwrap(), 4);
                store.delete(std::slice::from_ref(&mine)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert!(!folder.path().join("x").exists());
}

/// A folder with more names than one pass keeps, and folders between files.
#[tokio::test]
async fn large_folders_are_listed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let mut keys: Vec<_> = (0..2500).map(|number| format!("s/{number:05}")).collect();
    for name in &mut keys {
        let number: usize = name[2..].parse().unwrap();
        if number.is_multiple_of(100) {
            fs::create_dir_all(folder.path().join(&name)).unwrap();
            name.push_str("/x");
        } else if number.is_multiple_of(7) {
            fs::create_dir_all(folder.path().join(format!("{name}-empty"))).unwrap();
        }
        fs::write(folder.path().join(&name), b"").map_err(|e| format!("{name}: {e}")).unwrap();
    }
    let all: Vec<_> = store.list("", None, 9999).await.unwrap().into_iter().map(|info| info.key.to_string()).collect();
    assert_eq!(all, keys);
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = store.list("s/", after.as_ref(), 600).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        paged.extend(page.into_iter().map(|info| info.key.to_string()));
    }
    assert_eq!(paged, keys);
}

#[test]
fn errors_of_the_disk_have_the_right_kind() {
    let kind = |code| io_error("put x", io::Error::from_raw_os_error(code)).kind;
    assert_eq!(kind(libc::ENOSPC), StoreErrorKind::Unavailable);
    assert_eq!(kind(libc::EDQUOT), StoreErrorKind::Unavailable);
    assert_eq!(kind(libc::EIO), StoreErrorKind::Unavailable);
    assert_eq!(kind(libc::EACCES), StoreErrorKind::Refused);
    assert_eq!(kind(libc::EROFS), StoreErrorKind::Refused);
    assert!(io_error("put x", io::Error::from_raw_os_error(libc::ENOSPC)).message.contains("disk is full"));
}
