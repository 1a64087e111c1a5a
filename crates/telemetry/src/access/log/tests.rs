use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::UNIX_EPOCH;
use std::{env, fs, process};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn record(code: u16) -> AccessRecord<'static> {
    AccessRecord { response_code: code, ..AccessRecord::new(UNIX_EPOCH) }
}

/// A directory that is removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = env::temp_dir().join(format!("leno-telemetry-{name}-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A target that takes one write for each permission it gets, and tells what was written.
struct Gate {
    permissions: Receiver<io::Result<()>>,
    writes: SyncSender<usize>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _unheard = self.writes.send(bytes.len());
        self.permissions.recv().unwrap_or(Ok(()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated(registry: &Registry) -> (AccessLog, SyncSender<io::Result<()>>, Receiver<usize>) {
    let (permit, permissions) = sync_channel(16);
    let (writes, written) = sync_channel(16);
    let target = Target::Writer(Box::new(Gate { permissions, writes }));
    (AccessLog::open(target, Format::Text, registry).unwrap(), permit, written)
}

async fn written(log: &AccessLog, records: u64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while log.0.written.value() < records {
        assert!(std::time::Instant::now() < deadline, "nothing is written");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_file_survives_rotation() {
    let dir = Dir::new("rotation");
    let (path, moved) = (dir.0.join("access.log"), dir.0.join("access.log.1"));
    let registry = Registry::new();
    let log = AccessLog::open(Target::File(path.clone()), Format::Json, &registry).unwrap();
    log.record(&record(200));
    written(&log, 1).await;
    // By now the writer waits, and must be woken.
    log.record(&record(404));
    written(&log, 2).await;
    fs::rename(&path, &moved).unwrap();
    log.reopen();
    log.record(&record(503));
    assert!(log.finish(PATIENCE).await);
    let before = fs::read_to_string(&moved).unwrap();
    assert!(before.contains("\"response_code\":200") && before.contains("\"response_code\":404"));
    assert!(fs::read_to_string(&path).unwrap().contains("\"response_code\":503"));
    assert_eq!(log.0.written.value(), 3);
    log.record(&record(200));
    assert_eq!(log.0.dropped.value(), 1, "after the end there is no log");
}

#[tokio::test]
async fn a_slow_target_costs_records_and_no_memory() {
    let registry = Registry::new();
    let (log, permit, written) = gated(&registry);
    log.record(&record(200));
    // The writer is now stuck with the first record.
    assert!(written.recv_timeout(PATIENCE).is_ok());
    let line = {
        let mut line = Vec::new();
        record(200).encode(Format::Text, &mut Shown::new(), &mut line);
        line.len()
    };
    let fits = ACCESS_BACKLOG / line;
    (0..fits + 10).for_each(|_| log.record(&record(200)));
    assert_eq!(log.0.dropped.value(), 10);
    assert!(log.0.lock().bytes.capacity() <= 2 * ACCESS_BACKLOG);
    assert!(!log.finish(Duration::from_millis(1)).await, "the target is stuck");
    drop(permit);
    assert!(log.finish(PATIENCE).await);
    assert_eq!(log.0.written.value(), fits as u64 + 1);
}

#[tokio::test]
async fn a_failing_target_is_counted() {
    let registry = Registry::new();
    let (log, permit, written) = gated(&registry);
    permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    log.record(&record(200));
    assert!(written.recv_timeout(PATIENCE).is_ok());
    permit.send(Ok(())).unwrap();
    log.record(&record(200));
    assert!(log.finish(PATIENCE).await);
    assert_eq!((log.0.errors.value(), log.0.dropped.value(), log.0.written.value()), (1, 1, 1));
}

#[test]
fn a_file_that_cannot_be_opened_says_which() {
    let target = Target::File("/nowhere/access.log".into());
    let error = AccessLog::open(target, Format::Text, &Registry::new()).unwrap_err();
    assert_eq!(error.to_string(), "can't open the access log \"/nowhere/access.log\"");
}
