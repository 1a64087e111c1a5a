use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use leno_runtime::task;

use super::*;

/// More than one message holds.
const MANY: usize = TAKE_OVER_SOCKETS * 2 + 3;

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("leno-{name}-{}.sock", std::process::id()));
    let _fresh = std::fs::remove_file(&path);
    path
}

/// A process that serves, with this many sockets.
fn served(path: &Path, count: usize) -> (Arc<Sockets>, Vec<TcpListener>, StdUnixListener) {
    let mut succession = Succession::begin(Some(path.to_owned())).unwrap();
    assert!(!succession.is_succession(), "nobody is there");
    let sockets = Arc::new(Sockets::default());
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    (sockets, listeners, succession.door().unwrap().unwrap())
}

fn begin(path: &Path) -> task::Task<Result<Succession, TakeOverError>> {
    let path = path.to_owned();
    task::spawn_blocking("begin", move || Succession::begin(Some(path)))
}

#[tokio::test]
async fn a_successor_gets_every_socket_with_its_queue() {
    let path = path("every");
    let (sockets, listeners, door) = served(&path, MANY);
    let addresses: Vec<SocketAddr> =
        listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let listed: Vec<_> = listeners
        .iter()
        .zip(&addresses)
        .map(|(socket, address)| sockets.list(Address::Tcp(*address), socket).unwrap())
        .collect();
    let _door = sockets.list(Address::Unix(path.clone()), &door).unwrap();
    let serving = task::spawn("serve", async move { serve(door, &sockets).await });

    let mut waiting = TcpStream::connect(addresses[0]).unwrap();
    waiting.write_all(b"x").unwrap();
    let mut succession = begin(&path).await.unwrap().unwrap();
    assert!(succession.is_succession());
    let taken: Vec<TcpListener> =
        addresses.iter().map(|address| succession.inherited.tcp(*address).unwrap()).collect();
    assert_eq!(
        taken.iter().map(|socket| socket.local_addr().unwrap()).collect::<BTreeSet<_>>(),
        addresses.into_iter().collect()
    );
    assert!(succession.door().unwrap().is_some());
    succession.serving().await.unwrap();
    serving.await.unwrap().unwrap();
    drop((listeners, listed));
    let (mut accepted, _) = taken[0].accept().unwrap();
    let mut byte = [0];
    accepted.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x", "what had waited for the first is the second's");
}

#[tokio::test]
async fn a_successor_that_gives_up_changes_nothing_and_the_next_one_may_try() {
    let path = path("gives-up");
    let (sockets, listeners, door) = served(&path, 1);
    let address = listeners[0].local_addr().unwrap();
    let _listed = sockets.list(Address::Tcp(address), &listeners[0]).unwrap();
    let serving = task::spawn("serve", async move { serve(door, &sockets).await });
    drop(begin(&path).await.unwrap().unwrap());
    let mut stream = UnixStream::connect(&path).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[SERVING]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "who has not asked is not heard");
    let mut succession = begin(&path).await.unwrap().unwrap();
    assert!(!serving.is_finished());
    succession.serving().await.unwrap();
    serving.await.unwrap().unwrap();
}

#[test]
fn nobody_to_take_over_from_is_no_error_and_somebody_else_is() {
    let path = path("else");
    assert!(!Succession::begin(None).unwrap().is_succession());
    drop(StdUnixListener::bind(&path).unwrap());
    let mut left = Succession::begin(Some(path.clone())).unwrap();
    assert!(!left.is_succession(), "what a killed process has left is nobody");
    let door = left.door().unwrap().unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = door.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = Succession::begin(Some(path.clone())).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    other.join().unwrap();
}
