//! A TCP proxy that can be cut: connections end and new ones are refused until it is mended.

use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// A proxy under way; its target is `host:port`, or the path of a socket.
pub struct Proxy {
    pub port: u16,
    cut: Arc<watch::Sender<bool>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(watch::Sender::new(false));
        let switch = cut.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (target, mut cut) = (target.clone(), switch.subscribe());
                connections.spawn(async move {
                    let forward = async {
                        if target.starts_with('/') {
                            let mut server = UnixStream::connect(target).await?;
                            tokio::io::copy_bidirectional(&mut client, &mut server).await
                        } else {
                            let mut server = TcpStream::connect(target).await?;
                            tokio::io::copy_bidirectional(&mut client, &mut server).await
                        }
                    };
                    tokio::select! {
                        _ = cut.wait_for(|cut| *cut) => {}
                        _ = forward => {}
                    }
                });
            }
        });
        Self { port, cut, task }
    }

    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
