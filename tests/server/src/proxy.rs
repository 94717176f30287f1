//! A network that fails when it is told to: it stands between a store and a server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is to happen to the next connection over which certain bytes go to the server; once.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "tests choose one")]
pub enum Fault {
    /// It is cut before they get there.
    Before(&'static [u8]),
    /// It is cut once the server has answered to them with these, before that gets back.
    Answered(&'static [u8], &'static [u8]),
    /// Others get there in their place, as many.
    Altered(&'static [u8], &'static [u8]),
    /// They get there only after a while.
    Late(&'static [u8], Duration),
}

/// Passes on what goes between its own port and another.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    to: u16,
    fault: Mutex<Option<Fault>>,
    /// Both ends of each connection.
    open: Mutex<Vec<[TcpStream; 2]>>,
    is_down: Mutex<Down>,
    /// How many connections were made.
    made: AtomicUsize,
}

/// Whether anything gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Down {
    No,
    /// Who connects is turned away.
    Refuses,
    /// Nothing gets through, and nobody is told.
    Silent,
}

impl Proxy {
    /// One between a port of its own and that of a server here.
    ///
    /// # Panics
    ///
    /// If no port is free.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let own = listener.local_addr().expect("it has one").port();
        let line = Arc::new(Line {
            to: port,
            fault: Mutex::new(None),
            open: Mutex::default(),
            is_down: Mutex::new(Down::No),
            made: AtomicUsize::new(0),
        });
        let passing = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                passing.connect(client);
            }
        });
        Proxy { port: own, line }
    }

    /// How to reach the server behind it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has something happen, once.
    pub fn fail(&self, fault: Fault) {
        *lock(&self.line.fault) = Some(fault);
    }

    /// Whether what was to happen has.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.line.fault).is_none()
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for [client, server] in lock(&self.line.open).drain(..) {
            // It may be gone.
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }

    /// From now on turns away who connects, and cuts who is connected.
    pub fn refuse(&self) {
        *lock(&self.line.is_down) = Down::Refuses;
        self.cut();
    }

    /// From now on lets nothing through, and tells nobody.
    pub fn fall_silent(&self) {
        *lock(&self.line.is_down) = Down::Silent;
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        *lock(&self.line.is_down) = Down::No;
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.line.made.load(Ordering::Relaxed)
    }
}

impl Line {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        if *lock(&self.is_down) == Down::Refuses {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.to)) else {
            return;
        };
        self.made.fetch_add(1, Ordering::Relaxed);
        let both = || Ok::<_, std::io::Error>([client.try_clone()?, server.try_clone()?]);
        let (Ok(kept), Ok([up, down])) = (both(), both()) else {
            return;
        };
        lock(&self.open).push(kept);
        // What the server's next answer must hold for the connection to be cut.
        let cut_at = Arc::new(Mutex::new(None));
        let (line, cut) = (Arc::clone(self), Arc::clone(&cut_at));
        thread::spawn(move || line.send(client, down, &cut));
        let line = Arc::clone(self);
        thread::spawn(move || line.answer(server, up, &cut_at));
    }

    /// Passes on what a client sends.
    fn send(&self, mut client: TcpStream, mut server: TcpStream, cut_at: &CutAt) {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count) = client.read(&mut buffer) {
            let bytes = &mut buffer[..count];
            if count == 0 || !self.is_alive() {
                break;
            }
            if !self.meddle(bytes, cut_at) || server.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Passes on what a server answers.
    fn answer(&self, mut server: TcpStream, mut client: TcpStream, cut_at: &CutAt) {
        let mut buffer = vec![0; 1 << 20];
        let mut held = Vec::new();
        while let Ok(count) = server.read(&mut buffer) {
            if count == 0 || !self.is_alive() {
                break;
            }
            let awaited = *lock(cut_at);
            if let Some(awaited) = awaited {
                held.extend_from_slice(&buffer[..count]);
                if place_of(awaited, &held).is_some() {
                    break;
                }
                continue;
            }
            if client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Does what is to be done to these bytes. False if the connection is to be cut.
    fn meddle(&self, bytes: &mut [u8], cut_at: &CutAt) -> bool {
        let mut fault = lock(&self.fault);
        let Some(next) = *fault else {
            return true;
        };
        let (Fault::Before(awaited)
        | Fault::Answered(awaited, _)
        | Fault::Altered(awaited, _)
        | Fault::Late(awaited, _)) = next;
        let Some(place) = place_of(awaited, bytes) else {
            return true;
        };
        *fault = None;
        drop(fault);
        match next {
            Fault::Before(_) => return false,
            Fault::Late(_, time) => thread::sleep(time),
            Fault::Answered(_, answer) => *lock(cut_at) = Some(answer),
            Fault::Altered(_, others) => {
                bytes[place..place + others.len()].copy_from_slice(others);
            }
        }
        true
    }

    /// Waits while it is silent. False once it refuses.
    fn is_alive(&self) -> bool {
        loop {
            match *lock(&self.is_down) {
                Down::No => return true,
                Down::Refuses => return false,
                Down::Silent => {}
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

type CutAt = Mutex<Option<&'static [u8]>>;

fn place_of(awaited: &[u8], bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(awaited.len())
        .position(|window| window == awaited)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
