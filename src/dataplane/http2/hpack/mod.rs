//! HPACK (RFC 7541): how the fields of a head are written in HTTP/2.
//!
//! What a peer repeats it sends as an index into a table that both ends keep. Ours holds fields as they were understood, so that an
//! authority, a path or a value which comes again is neither parsed nor copied again. What is no field of HTTP/2 is kept there
//! too, as the peer counts on it: it makes its message malformed, and not the connection.
//!
//! We write values as they are: the Huffman code would save bytes, but it costs more than they do. What is said twice in a row goes
//! into the peer's table, so that from the third time on it is two bytes at most.
//!
//! Both ends of a connection's table change with each block: what was begun must be sent, and what came must be decoded to its end.

mod decoder;
mod encoder;
mod field;
mod huffman;
mod names;
mod table;

pub(in crate::dataplane) use decoder::Decoder;
pub(in crate::dataplane) use encoder::Encoder;
pub(in crate::dataplane) use field::Field;
