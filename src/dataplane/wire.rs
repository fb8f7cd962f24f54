use std::io::{ErrorKind, IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use super::held::Held;

/// Pieces of up to so many bytes are copied together.
const SMALL: usize = 4 << 10;

/// What bytes go over, to a client or to an endpoint.
pub(super) enum Wire {
    Plain(Socket),
    Tls(Box<TlsStream<Held>>),
}

/// The same below TLS.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Waits until something has come. That may be nothing but what TLS says to itself.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is for who reads.
        match self.socket() {
            Socket::Tcp(stream) => stream.poll_read_ready(cx).map(|_| ()),
            Socket::Unix(stream) => stream.poll_read_ready(cx).map(|_| ()),
        }
    }

    /// Whether nothing has come that nobody has read, as far as the runtime has been told.
    pub(super) fn is_quiet(&mut self) -> bool {
        match self {
            Wire::Plain(socket) => socket.is_quiet(),
            // Beneath TLS there may be something that is none of ours, such as tickets for another session.
            Wire::Tls(stream) => {
                let (held, session) = stream.get_ref();
                if session.wants_read() && held.socket().is_untouched() {
                    return true;
                }
                let mut one = [MaybeUninit::uninit()];
                let mut nobody = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut nobody, &mut ReadBuf::uninit(&mut one)).is_pending()
            }
        }
    }

    /// The same, and the kernel is asked.
    pub(super) fn is_surely_quiet(&self) -> bool {
        match self {
            Wire::Plain(socket) => socket.is_surely_quiet(),
            // What has come may be none of ours.
            Wire::Tls(_) => true,
        }
    }

    /// Whether nothing has come that nobody has read, as far as the runtime has been told: not even the end, or what TLS
    /// says to itself.
    pub(super) fn is_bare(&self) -> bool {
        self.socket().is_untouched()
    }

    /// The same, and the kernel is asked.
    pub(super) fn is_surely_bare(&self) -> bool {
        self.socket().is_surely_quiet()
    }

    /// What is written from now on may leave with the end, which over TLS is a record as well.
    pub(super) fn hold(&mut self) {
        if let Wire::Tls(stream) = self {
            stream.get_mut().0.hold();
        }
    }

    /// What was held back need not wait any longer.
    pub(super) fn let_go(&mut self) {
        if let Wire::Tls(stream) = self {
            stream.get_mut().0.let_go();
        }
    }

    /// Says that nothing more comes, as far as closing does not say so: over TLS it could be anybody who closes.
    pub(super) fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Wire::Tls(stream) = self else { return Poll::Ready(Ok(())) };
        stream.get_mut().0.leave();
        Pin::new(stream).poll_shutdown(cx)
    }

    fn socket(&self) -> &Socket {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref().0.socket(),
        }
    }

    /// Waits until something may have come.
    pub(super) fn poll_maybe_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Wire::Plain(_) => self.poll_readable(cx),
            // It may hold something back that it has read already.
            Wire::Tls(_) => Poll::Ready(()),
        }
    }
}

impl Socket {
    /// Writes what there is room for at once, and waits for none.
    pub(super) fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Whether the runtime knows of nothing that has come; nothing is read.
    fn is_untouched(&self) -> bool {
        let came = match self {
            Socket::Tcp(stream) => stream.try_io(Interest::READABLE, || Ok(())),
            Socket::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())),
        };
        came.is_err()
    }

    /// A byte that has come is read: whoever finds one has no use for the rest.
    fn is_quiet(&self) -> bool {
        // A system call is made only where the runtime says that there may be something.
        let mut one = [0];
        let came = match self {
            Socket::Tcp(stream) => stream.try_read(&mut one),
            Socket::Unix(stream) => stream.try_read(&mut one),
        };
        is_nothing(&came)
    }

    /// The same, and the kernel is asked.
    fn is_surely_quiet(&self) -> bool {
        let mut one = [MaybeUninit::uninit()];
        let socket = match self {
            Socket::Tcp(stream) => SockRef::from(stream),
            Socket::Unix(stream) => SockRef::from(stream),
        };
        is_nothing(&socket.peek(&mut one))
    }
}

fn is_nothing(came: &Result<usize>) -> bool {
    came.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => poll_write_pieces(stream, cx, pieces),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Writes a head and a body: small ones as one, which costs less than the kernel's gathering, and large ones from where they
/// are.
pub(super) fn poll_write_pieces(
    stream: &mut Socket,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<Result<usize>> {
    if let [piece] = pieces {
        return Pin::new(stream).poll_write(cx, piece);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > SMALL {
        return Pin::new(stream).poll_write_vectored(cx, pieces);
    }
    let mut joined = [MaybeUninit::uninit(); SMALL];
    let mut joined = ReadBuf::uninit(&mut joined);
    for piece in pieces {
        joined.put_slice(piece);
    }
    Pin::new(stream).poll_write(cx, joined.filled())
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
