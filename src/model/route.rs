use super::grpc::Dialect;

/// What requests are grouped by: the method and the pattern of the path, or the method of a gRPC service.
///
/// Segments that look like somebody's or something's identifier are `*` in the pattern, so that a service has
/// about as many routes as its authors know of. The key is what the request path counts by, the name is for
/// people; both are made from the same parts, so two routes have one key exactly if they have one name (but for
/// collisions of 64 bits).
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    dialect: Dialect,
    method: &'a str,
    path: &'a str,
}

/// A route's number, the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey(pub u64);

/// Segments that are told apart. What lies deeper belongs to one thing.
const MOST_SEGMENTS: usize = 5;
/// Nobody gives a segment a longer name: what is longer was made up for the occasion.
const LONGEST_SEGMENT: usize = 40;
const ANY: &str = "*";
const DEEPER: &str = "**";
/// The longest path of a gRPC method that is taken for one.
const LONGEST_CALL: usize = 200;

impl<'a> Route<'a> {
    /// No name is longer, in bytes.
    pub const LONGEST_NAME: usize =
        "OPTIONS ".len() + MOST_SEGMENTS * (1 + LONGEST_SEGMENT) + 1 + DEEPER.len();

    /// The route of a request. What follows a `?` in the path means nothing, and neither does a slash at its end.
    pub const fn new(dialect: Dialect, method: &'a str, path: &'a str) -> Self {
        Self { dialect, method, path }
    }

    /// The route's number. Allocates nothing: it is made for every request.
    pub fn key(self) -> RouteKey {
        if self.is_call() {
            return RouteKey(Hash::begin(GRPC).text(self.path.as_bytes()).0);
        }
        let mut hash = Hash::begin(place(self.method));
        each_part(self.path, |part| hash = hash.part(&part));
        RouteKey(hash.0)
    }

    /// The route in words: `GET /v1/users/*/playlists`, or `/package.Service/Method`. Printable ASCII.
    pub fn name(self) -> String {
        if self.is_call() {
            return self.path.to_owned();
        }
        let mut name = format!("{} ", METHODS[place(self.method)]);
        let bare = name.len();
        each_part(self.path, |part| {
            name.push('/');
            match part {
                Part::Named(text, _) => name.extend(text.iter().map(|byte| char::from(*byte))),
                Part::Any => name.push_str(ANY),
                Part::Deeper => name.push_str(DEEPER),
            }
        });
        if name.len() == bare {
            name.push('/');
        }
        name
    }

    /// Whether this is a gRPC method, as in `/package.Service/Method`. A gRPC request for anything else goes by
    /// its pattern: whoever makes up paths must not make up routes.
    fn is_call(self) -> bool {
        if self.dialect == Dialect::Http || self.path.len() > LONGEST_CALL {
            return false;
        }
        let names = self.path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_word);
        names.is_some_and(|(service, method)| is_name(service) && is_name(method))
    }
}

/// The methods that are told apart; a client may make up others.
const METHODS: [&str; 10] =
    ["OTHER", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
/// Stands behind them.
const GRPC: usize = METHODS.len();

#[inline]
fn place(method: &str) -> usize {
    match method.as_bytes() {
        b"GET" => 1,
        b"POST" => 2,
        b"PUT" => 3,
        b"DELETE" => 4,
        b"PATCH" => 5,
        b"HEAD" => 6,
        b"OPTIONS" => 7,
        b"TRACE" => 8,
        b"CONNECT" => 9,
        _ => 0,
    }
}

/// One part of a path's pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    /// A segment as it stands, of printable ASCII without `*`, and its hash.
    Named(&'a [u8], Hash),
    /// An identifier.
    Any,
    /// All that lies deeper.
    Deeper,
}

/// Tells the parts of a path, one by one. Each of its two callers has it compiled into itself: a part that is handed over in
/// memory costs as much as reading it.
fn each_part<'a>(path: &'a str, mut tell: impl FnMut(Part<'a>)) {
    let (mut rest, mut left) = (path.as_bytes(), MOST_SEGMENTS);
    while !rest.is_empty() {
        let Segment { text, shape, hash } = Segment::first(rest);
        rest = match &rest[text.len()..] {
            [b'/', rest @ ..] => rest,
            [] | [_, ..] => &[],
        };
        // Slashes without anything between them are one.
        if text.is_empty() {
            continue;
        }
        if left == 0 {
            tell(Part::Deeper);
            return;
        }
        left -= 1;
        let is_name = text.len() <= LONGEST_SEGMENT && (shape.is_plain() || !shape.is_identifier(text));
        tell(if is_name { Part::Named(text, hash) } else { Part::Any });
    }
}

/// What a path begins with, up to a slash or to its end.
struct Segment<'a> {
    text: &'a [u8],
    /// Only of segments that are not too long anyway.
    shape: Shape,
    hash: Hash,
}

impl<'a> Segment<'a> {
    /// Looks once at each byte: this is done for every request.
    fn first(path: &'a [u8]) -> Self {
        let (mut shape, mut hash, mut length) = (Shape(0), Hash::BEGIN, 0);
        while let Some(&byte) = path.get(length) {
            let kind = KINDS[usize::from(byte)];
            if kind == END {
                break;
            }
            shape.0 = shape.0.wrapping_add(kind);
            hash = hash.byte(byte);
            length += 1;
        }
        Self { text: &path[..length], shape, hash }
    }
}

/// How many of a segment's bytes are of which kind: one count in each byte, which is enough for the longest.
#[derive(Clone, Copy)]
struct Shape(u32);

const DIGIT: u32 = 1;
const HEX_LETTER: u32 = 1 << 8;
const OTHER_LETTER: u32 = 1 << 16;
/// What is no part of a name: what is encoded is somebody's text, and a star would be taken for the pattern's.
const FOREIGN: u32 = 1 << 24;
const END: u32 = u32::MAX;

static KINDS: [u32; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        kinds[byte] = match byte.to_le_bytes()[0] {
            b'/' | b'?' | b'#' => END,
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
            b'g'..=b'z' | b'G'..=b'Z' => OTHER_LETTER,
            b'%' | b'*' | ..b'!' | 0x7F.. => FOREIGN,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

impl Shape {
    /// Whether there is nothing that needs a closer look: no digit, nothing foreign, and fewer hexadecimal letters
    /// than a UUID may have. Most segments are a word.
    fn is_plain(self) -> bool {
        self.0 & 0xFF00_E0FF == 0
    }

    /// Whether a segment of this shape looks like an identifier, and not like a name.
    fn is_identifier(self, segment: &[u8]) -> bool {
        let length = segment.len();
        let [digits, hex_letters, other_letters, foreign] = self.0.to_le_bytes().map(usize::from);
        let (hex, letters) = (digits + hex_letters, hex_letters + other_letters);
        // Nearly every UUID has a digit; this is about the others.
        let is_uuid = || hex == 32 && [8, 13, 18, 23].into_iter().all(|place| segment[place] == b'-');
        if foreign > 0 || length == 36 && is_uuid() {
            return true;
        }
        let is_number = digits == length;
        let is_hex = length >= 8 && hex == length;
        let is_mixed = length >= 10 && digits >= 2 && letters > 0 && digits + letters == length;
        digits > 0 && (is_number || is_hex || is_mixed || length >= 20)
    }
}

/// Quick, and not safe from somebody who wants two routes to collide: who can do that could as well send only
/// one route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash(u64);

/// The golden ratio in 64 bits, made odd: it spreads one byte over all the bits above.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hash {
    /// Any number far from all that is taken in, as are those that stand for parts without a text.
    const BEGIN: Self = Self(0x8EBC_6AF0_9C88_C6E3);

    fn begin(place: usize) -> Self {
        Self::BEGIN.word(place as u64)
    }

    fn text(self, text: &[u8]) -> Self {
        text.iter().fold(self, |hash, byte| hash.byte(*byte))
    }

    fn part(self, part: &Part<'_>) -> Self {
        match part {
            Part::Named(_, hash) => self.word(hash.0),
            Part::Any => self.word(0xA24B_AED4_963E_E407),
            Part::Deeper => self.word(0x9FB2_1C65_1E98_DF25),
        }
    }

    fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(GOLDEN))
    }

    fn word(self, word: u64) -> Self {
        let product = (self.0 ^ word).wrapping_mul(GOLDEN);
        Self(product ^ product >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn name(method: &str, path: &str) -> String {
        Route::new(Dialect::Http, method, path).name()
    }

    #[test]
    fn identifiers_are_stars_and_names_stay() {
        for (path, pattern) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/v1", "/v1"),
            ("/v1/", "/v1"),
            ("/v1//users", "/v1/users"),
            ("/v1/users/12345/playlists", "/v1/users/*/playlists"),
            ("/v1/users/7?page=2", "/v1/users/*"),
            ("/v1/users?next=/a/b", "/v1/users"),
            ("/v1/users/?next=/a/b", "/v1/users"),
            ("/v1/users#top", "/v1/users"),
            ("/v2beta1/projects", "/v2beta1/projects"),
            ("/v1alpha10/x", "/v1alpha10/x"),
            ("/2024-01-01/reports", "/2024-01-01/reports"),
            ("/2024/reports", "/*/reports"),
            ("/oauth2/token", "/oauth2/token"),
            ("/log-in/step_2", "/log-in/step_2"),
            ("/feed.json", "/feed.json"),
            ("/users/@me", "/users/@me"),
            ("/u/4f9c2e81", "/u/*"),
            ("/u/4F9C2E8", "/u/4F9C2E8"),
            ("/u/deadbeef", "/u/deadbeef"),
            ("/u/3b241101-e2bb-4255-8caf-4136c566a962", "/u/*"),
            ("/u/FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "/u/*"),
            ("/u/ffffffffffff-ffff-ffff-ffff-ffffffff", "/u/ffffffffffff-ffff-ffff-ffff-ffffffff"),
            ("/t/spotify:track:4uLU6hMCjMI75M1A2tKUQC", "/t/*"),
            ("/t/4uLU6hMCjMI75M1A2tKUQC", "/t/*"),
            ("/t/dQw4w9WgXcQ", "/t/*"),
            ("/t/onlyletters", "/t/onlyletters"),
            ("/t/onedigit1", "/t/onedigit1"),
            ("/t/two2digit2", "/t/*"),
            ("/t/top-100-songs", "/t/top-100-songs"),
            ("/t/a-long-name-with-the-2-digit", "/t/*"),
            ("/t/a-long-name-without-any-digit", "/t/a-long-name-without-any-digit"),
            ("/t/caf%C3%A9", "/t/*"),
            ("/t/café", "/t/*"),
            ("/t/a\u{7f}b", "/t/*"),
            ("/t/*", "/t/*"),
            ("/t/a*b", "/t/*"),
            ("*", "/*"),
            ("/a/b/c/d/e", "/a/b/c/d/e"),
            ("/a/b/c/d/e/", "/a/b/c/d/e"),
            ("/a/b/c/d/e?f", "/a/b/c/d/e"),
            ("/a/b/c/d/e/?f", "/a/b/c/d/e"),
            ("/a/b/c/d/e/f", "/a/b/c/d/e/**"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/**"),
            ("/1/2/3/4/5/6", "/*/*/*/*/*/**"),
        ] {
            assert_eq!(name("GET", path), format!("GET {pattern}"), "{path}");
        }
        let longest = "a".repeat(LONGEST_SEGMENT);
        assert_eq!(name("GET", &format!("/{longest}/b")), format!("GET /{longest}/b"));
        assert_eq!(name("GET", &format!("/{longest}a/b")), "GET /*/b");
        assert_eq!(name("GET", &format!("/{longest}-?{longest}")), "GET /*");
        assert_eq!(name("GET", &format!("/a?{longest}{longest}")), "GET /a");
    }

    #[test]
    fn methods_are_told_apart_and_made_up_ones_are_not() {
        for (at, method) in METHODS.into_iter().enumerate() {
            assert_eq!(place(method), at, "{method}");
            assert_eq!(name(method, "/a"), format!("{method} /a"));
        }
        assert_eq!(name("BREW", "/a"), "OTHER /a");
        assert_eq!(name("get", "/a"), "OTHER /a");
    }

    #[test]
    fn a_grpc_method_is_its_path_and_what_is_none_goes_by_its_pattern() {
        let long = format!("/{}/M", "s".repeat(LONGEST_CALL));
        for (path, expected) in [
            ("/shop.v1.Cart/AddItem2", "/shop.v1.Cart/AddItem2"),
            ("/S/a12345678901234567890", "/S/a12345678901234567890"),
            ("/shop.Cart", "POST /shop.Cart"),
            ("/shop.Cart/Add/1", "POST /shop.Cart/Add/*"),
            ("/shop.Cart/Add?x", "POST /shop.Cart/Add"),
            ("/shop.Cart/", "POST /shop.Cart"),
            ("/shop.Cart/%41", "POST /shop.Cart/*"),
            (long.as_str(), "POST /*/M"),
        ] {
            assert_eq!(Route::new(Dialect::Grpc, "POST", path).name(), expected, "{path}");
        }
    }

    /// Routes by name and by key: neither may know two where the other knows one.
    #[derive(Default)]
    struct Seen {
        by_name: HashMap<String, (RouteKey, String)>,
        by_key: HashMap<RouteKey, String>,
    }

    impl Seen {
        fn see(&mut self, route: Route<'_>) {
            let (name, key) = (route.name(), route.key());
            assert!(name.len() <= Route::LONGEST_NAME, "{} bytes: {name}", name.len());
            assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name:?}");
            let (known, path) = self.by_name.entry(name.clone()).or_insert((key, route.path.to_owned()));
            assert_eq!(*known, key, "{path:?} and {:?} are both {name}", route.path);
            let known = self.by_key.entry(key).or_insert_with(|| name.clone());
            assert_eq!(*known, name, "two names, one key");
        }
    }

    #[test]
    fn of_all_short_paths_one_key_is_one_name() {
        let alphabet = ['/', 'a', 'b', '1', '-', '?', '%'];
        let mut seen = Seen::default();
        let mut paths = vec![String::new()];
        for _ in 0..6 {
            let longer = |path: &String| alphabet.map(|next| format!("{path}{next}"));
            paths = paths.iter().flat_map(longer).collect();
            for path in &paths {
                seen.see(Route::new(Dialect::Http, "GET", path));
            }
        }
        assert!(seen.by_name.len() > 5_000, "{}", seen.by_name.len());
    }

    #[test]
    fn of_paths_by_chance_one_key_is_one_name() {
        let pieces = [
            "/",
            "/",
            "/",
            "a",
            "aa",
            "aaaaaaa",
            "aaaaaaaa",
            "aaaaaaaaa",
            "b",
            "v1",
            "users",
            "0",
            "12",
            "-",
            ".",
            "_",
            "%41",
            "*",
            "**",
            "é",
            "?",
            "\u{7f}",
            "GET",
            "shop.Cart/Add",
            "deadbee",
        ];
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut seen = Seen::default();
            for _ in 0..20_000 {
                let count = rng.usize(..12);
                let path: String = (0..count).map(|_| pieces[rng.usize(..pieces.len())]).collect();
                let dialect = if rng.bool() { Dialect::Http } else { Dialect::Grpc };
                let method = METHODS[rng.usize(..3)];
                seen.see(Route::new(dialect, method, &format!("/{path}")));
            }
        }
    }

    #[test]
    fn keys_are_the_same_in_every_process() {
        let key = Route::new(Dialect::Http, "GET", "/v1/users/12345/playlists").key();
        assert_eq!(key, RouteKey(12_955_290_744_357_533_304), "they are kept and compared across restarts");
    }
}
