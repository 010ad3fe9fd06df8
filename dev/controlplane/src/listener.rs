//! A port of 127.0.0.1 whose connections are served by a thread of their own.

use std::net::{Ipv4Addr, TcpListener};
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::{Context, Error};

/// It ends when it is dropped, with its connections.
#[derive(Debug)]
pub(crate) struct Listener {
    address: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on a free port.
    pub(crate) fn start<F>(name: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self, Error>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let tried = || format!("the port of the {name}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(tried)?;
        listener.set_nonblocking(true).context(tried)?;
        let address = listener.local_addr().context(tried)?.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(tried)?;
        let (end, ended) = oneshot::channel::<()>();
        let accept = async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        };
        let until_end = async move {
            tokio::select! {
                () = accept => {}
                _ = ended => {}
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(until_end)).context(tried)?;
        Ok(Self { address, end: Some(end), thread: Some(thread) })
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}
