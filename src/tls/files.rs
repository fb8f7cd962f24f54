use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::identity::Expiry;

/// What is made from files, and made again when they change.
pub(crate) trait Material: Send + Sync {
    /// The files that it is made from.
    fn files(&self) -> Vec<&Path>;

    /// Makes it anew. If that fails, what there was stays. Gives the certificates in use, and until when they hold.
    fn renew(&self) -> Result<Vec<Expiry>, Trouble>;
}

/// What is wrong with a file, or with two that belong together. Whoever put it there can mend it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It is not there, or may not be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is something else than it should be.
    #[error("{} {what}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why, as the end of a sentence.
        what: String,
    },
    /// The key is another certificate's.
    #[error("{} is not the key of {}", key.display(), chain.display())]
    Mismatch {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The system has no certificates of authorities.
    #[error("the system has no certificates of authorities to verify endpoints with")]
    NoSystemRoots,
}

impl Trouble {
    pub(super) fn unfit(path: &Path, what: impl Into<String>) -> Self {
        Self::Unfit { path: path.to_owned(), what: what.into() }
    }

    /// How to mend it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Trouble::Unreadable { why, .. } if why.kind() == io::ErrorKind::PermissionDenied => {
                "let the user that runs Switchback read it"
            }
            Trouble::Unreadable { .. } => "relative paths begin in the configuration's folder",
            Trouble::Unfit { .. } => {
                "files are PEM: a certificate with those that signed it behind it, or a key"
            }
            Trouble::Mismatch { .. } => "put both files of a pair there, made together",
            Trouble::NoSystemRoots => "install them (Debian: ca-certificates), or name a file in roots",
        }
    }
}

/// Changes when a file does: sizes, times and inodes, seen through symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature(u64);

impl Signature {
    /// That of these files at this moment.
    pub(crate) fn of(files: &[&Path]) -> Self {
        let mut hasher = DefaultHasher::new();
        for path in files {
            let meta = fs::metadata(path).ok();
            meta.map(|meta| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(path).map_err(|why| Trouble::Unreadable { path: path.to_owned(), why })
}

/// Every certificate of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let text = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| Trouble::unfit(path, format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(Trouble::unfit(path, "has no certificate in it"));
    }
    Ok(certificates)
}

/// A file's certificates as those of authorities.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            Trouble::unfit(path, format!("has a certificate that is no authority's: {error}"))
        })?;
    }
    Ok(roots)
}
