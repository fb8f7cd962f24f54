use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::model::UnixMillis;
use crate::tls::{Expiry, Material, Signature};

use super::event::{CertificateNews, Event};

/// How often files are looked at, …
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// … and while something is wrong with some: a certificate and its key are two files, and change one after the other.
const LOOK_OFTEN: Duration = Duration::from_millis(250);
/// A pair that does not fit is told of when it has been so for so many looks.
const LOOKS_TO_BELIEVE: u32 = 8;
/// People are told so many days before a certificate ends, and then daily.
const WARN_DAYS: i64 = 14;
const DAY_S: i64 = 86_400;

/// What is kept in step with its files.
struct Known {
    material: Arc<dyn Material>,
    /// As the files were when they were read last; `None` if they are to be read in any case.
    seen: Option<Signature>,
    bad_looks: u32,
    /// What people have been told is wrong.
    told: Option<String>,
    expiries: Vec<Expiry>,
}

/// Reads certificates again when their files change, and tells what became of it. It ends with whoever gives the
/// list, or takes the news.
pub(super) async fn run(
    clock: Clock,
    mut list: watch::Receiver<Vec<Arc<dyn Material>>>,
    news: mpsc::Sender<Event>,
) {
    let mut known: Vec<Known> = Vec::new();
    let mut warned = HashMap::new();
    loop {
        known = keep(known, &list.borrow_and_update());
        if known.is_empty() {
            // Nothing is to be done before there is something.
            if list.changed().await.is_err() {
                return;
            }
            continue;
        }
        let now = clock.wall();
        let looked = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            for known in &mut known {
                known.look(&mut told);
            }
            remind(&known, &mut told);
            (known, told)
        });
        let Ok((looked, mut told)) = looked.await else { return };
        known = looked;
        told.extend(ending(&known, now, &mut warned));
        if !told.is_empty() && news.send(Event::Certificates(told)).await.is_err() {
            return;
        }
        let is_wrong = known.iter().any(|known| known.bad_looks > 0);
        tokio::time::sleep(if is_wrong { LOOK_OFTEN } else { LOOK_EVERY }).await;
        if list.has_changed().is_err() {
            return;
        }
    }
}

/// Who is still on the list stays as known, who is new is read at the next look.
fn keep(known: Vec<Known>, list: &[Arc<dyn Material>]) -> Vec<Known> {
    let mut before: Vec<Option<Known>> = known.into_iter().map(Some).collect();
    let known = list.iter().map(|material| {
        let same = |known: &&mut Option<Known>| {
            known.as_ref().is_some_and(|known| Arc::ptr_eq(&known.material, material))
        };
        before.iter_mut().find(same).and_then(Option::take).unwrap_or_else(|| Known {
            material: material.clone(),
            seen: None,
            bad_looks: 0,
            told: None,
            expiries: Vec::new(),
        })
    });
    known.collect()
}

impl Known {
    fn look(&mut self, told: &mut Vec<CertificateNews>) {
        // Before reading: what changes meanwhile is seen at the next look.
        let signature = Signature::of(&self.material.files());
        if self.seen == Some(signature) {
            // What was wrong meanwhile has been put right.
            self.bad_looks = 0;
            told.extend(self.told.take().map(|_| CertificateNews::Restored));
            return;
        }
        let is_first = self.seen.is_none() && self.bad_looks == 0;
        match self.material.renew() {
            Ok(expiries) => {
                self.seen = Some(signature);
                if !is_first {
                    let files = expiries.iter().map(|expiry| expiry.file.clone()).collect();
                    told.push(CertificateNews::Renewed(files));
                }
                told.extend(expiries.iter().cloned().map(CertificateNews::InUse));
                (self.bad_looks, self.told, self.expiries) = (0, None, expiries);
            }
            Err(trouble) => {
                self.bad_looks += 1;
                let why = format!("{trouble}; {}", trouble.remedy());
                if self.bad_looks >= LOOKS_TO_BELIEVE && self.told.as_ref() != Some(&why) {
                    self.told = Some(why.clone());
                    told.push(CertificateNews::Refused(why));
                }
            }
        }
    }
}

/// Good news of some is not to be taken for the end of bad news of others: those are told again, behind it.
fn remind(known: &[Known], told: &mut Vec<CertificateNews>) {
    let is_good =
        |news: &CertificateNews| matches!(news, CertificateNews::Renewed(_) | CertificateNews::Restored);
    if told.iter().any(is_good) {
        told.retain(|news| !matches!(news, CertificateNews::Refused(_)));
        told.extend(known.iter().filter_map(|known| known.told.clone()).map(CertificateNews::Refused));
    }
}

/// Certificates that end soon, each once a day. `warned` knows how many days were left when it was told.
fn ending(known: &[Known], now: UnixMillis, warned: &mut HashMap<PathBuf, i64>) -> Vec<CertificateNews> {
    let now_s = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
    let mut news = Vec::new();
    for expiry in known.iter().flat_map(|known| &known.expiries) {
        let days = (expiry.unix_s - now_s).div_euclid(DAY_S);
        if days >= WARN_DAYS {
            warned.remove(&expiry.file);
        } else if warned.insert(expiry.file.clone(), days) != Some(days) {
            news.push(CertificateNews::Ending(expiry.file.clone(), days));
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    struct Unread(Expiry);

    impl Material for Unread {
        fn files(&self) -> Vec<&Path> {
            Vec::new()
        }

        fn renew(&self) -> Result<Vec<Expiry>, crate::tls::Trouble> {
            Ok(vec![self.0.clone()])
        }
    }

    #[test]
    fn an_end_is_told_of_fourteen_days_before_and_then_daily() {
        const END_S: i64 = 100 * DAY_S;
        let material: Arc<dyn Material> =
            Arc::new(Unread(Expiry { file: PathBuf::from("site.pem"), unix_s: END_S }));
        let mut known = keep(Vec::new(), &[material]);
        known[0].look(&mut Vec::new());
        let mut warned = HashMap::new();
        let mut told = Vec::new();
        for hour in 0..(100 + 2) * 24 {
            for news in ending(&known, UnixMillis(hour * 3_600_000), &mut warned) {
                let CertificateNews::Ending(_, days) = news else { panic!("{news:?}") };
                told.push(days);
            }
        }
        assert_eq!(told, (-2..14).rev().collect::<Vec<_>>());
    }

    /// Good for as long as its file is there.
    struct There(PathBuf);

    impl Material for There {
        fn files(&self) -> Vec<&Path> {
            vec![&self.0]
        }

        fn renew(&self) -> Result<Vec<Expiry>, crate::tls::Trouble> {
            match std::fs::read(&self.0) {
                Ok(_) => Ok(Vec::new()),
                Err(why) => Err(crate::tls::Trouble::Unreadable { path: self.0.clone(), why }),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_once_and_again_when_it_was_right_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("site.pem"), folder.path().join("away.pem"));
        std::fs::write(&path, "x").unwrap();
        let mut known = keep(Vec::new(), &[Arc::new(There(path.clone())) as Arc<dyn Material>]);
        let mut told = Vec::new();
        let mut look = |told: &mut Vec<CertificateNews>| {
            for _ in 0..2 * LOOKS_TO_BELIEVE {
                known[0].look(told);
            }
        };
        look(&mut told);
        for times in 1..=2 {
            std::fs::rename(&path, &away).unwrap();
            look(&mut told);
            let refused = told.iter().filter(|news| matches!(news, CertificateNews::Refused(_))).count();
            assert_eq!(refused, times);
            // The same file is back, as it was.
            std::fs::rename(&away, &path).unwrap();
            look(&mut told);
            let restored = told.iter().filter(|news| matches!(news, CertificateNews::Restored)).count();
            assert_eq!(restored, times);
        }
    }

    #[test]
    fn what_is_still_wrong_is_told_again_behind_what_was_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.pem", "b.pem"].map(|name| folder.path().join(name));
        let material = |path: &PathBuf| {
            std::fs::write(path, "x").unwrap();
            Arc::new(There(path.clone())) as Arc<dyn Material>
        };
        let mut known = keep(Vec::new(), &paths.each_ref().map(material));
        let mut look = || {
            let mut told = Vec::new();
            for _ in 0..2 * LOOKS_TO_BELIEVE {
                for known in &mut known {
                    known.look(&mut told);
                }
            }
            remind(&known, &mut told);
            told
        };
        look();
        for path in &paths {
            std::fs::remove_file(path).unwrap();
        }
        assert_eq!(look().len(), 2);
        std::fs::write(&paths[0], "x").unwrap();
        let told = look();
        let [CertificateNews::Renewed(_), CertificateNews::Refused(why)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(why.contains("b.pem"), "{why}");
        std::fs::write(&paths[1], "x").unwrap();
        assert!(matches!(look().as_slice(), [CertificateNews::Renewed(_)]), "and all is well");
    }
}
