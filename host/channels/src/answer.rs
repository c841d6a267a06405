//! What a server answers: RFC 9112. The server may be anybody's, so that every length has a limit and what is ambiguous is
//! refused rather than guessed.

use httparse::{EMPTY_HEADER, Status};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a head, and of a trailer.
const HEAD_MOST: usize = 64 << 10;
/// Header lines.
const HEADERS_MOST: usize = 128;
/// Interim answers (1xx) before the final one.
const INTERIM_MOST: usize = 16;
/// Characters of a chunk's first line.
const LINE_MOST: usize = 4096;

/// An answer of a server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200 and the like.
    pub status: u16,
    /// Names in lower case, in the order of their arrival.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// How a body ends.
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

fn nonsense(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The kind of error of a body that is longer than allowed.
pub(crate) const TOO_LONG: io::ErrorKind = io::ErrorKind::FileTooLarge;

impl Answer {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All headers of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str, word: &str) -> bool {
        self.all(name).any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(word)))
    }

    /// Reads one, and whether the connection can be used again. `method` is the request's; its answer has at most `most` bytes.
    pub(crate) fn read<R: Read>(
        input: &mut BufReader<R>,
        method: &str,
        most: u64,
    ) -> io::Result<(Self, bool)> {
        for _ in 0..INTERIM_MOST {
            let (mut answer, minor) = head(input)?;
            if answer.status == 101 {
                return Err(nonsense("the server changes the protocol, which nobody asked for"));
            }
            if answer.status < 200 {
                continue;
            }
            let empty = method == "HEAD" || matches!(answer.status, 204 | 304);
            let framing = if empty { Framing::Length(0) } else { answer.framing()? };
            let kept = minor == 1 && !answer.has("connection", "close") && !matches!(framing, Framing::Close);
            answer.body = match framing {
                Framing::Length(length) => exactly(input, length, most)?,
                Framing::Chunked => chunks(input, most)?,
                Framing::Close => to_end(input, most)?,
            };
            return Ok((answer, kept));
        }
        Err(nonsense("the server sends interim answers and no final one"))
    }

    /// RFC 9112, section 6.3, without its leniency.
    fn framing(&self) -> io::Result<Framing> {
        let mut lengths = self.all("content-length");
        let codings: Vec<&str> = self.all("transfer-encoding").collect();
        match (codings.as_slice(), lengths.next()) {
            ([], None) => Ok(Framing::Close),
            ([], Some(first)) => {
                let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
                if !digits || lengths.any(|other| other != first) {
                    return Err(nonsense(format!("its content-length is {first:?}")));
                }
                first.parse().map(Framing::Length).map_err(|_| nonsense("its content-length is no length"))
            }
            ([coding], None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            _ => Err(nonsense("it says in two ways where its answer ends, or in none that is known here")),
        }
    }
}

/// One line with its end; at the end of the stream what there is.
fn line(input: &mut impl BufRead, into: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let before = into.len();
    input.take(most as u64 + 1).read_until(b'\n', into)?;
    match into.len() - before {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length if length > most => Err(nonsense(format!("a line has more than {most} bytes"))),
        _ if into.last() != Some(&b'\n') => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn head(input: &mut impl BufRead) -> io::Result<(Answer, u8)> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        line(input, &mut bytes, HEAD_MOST.saturating_sub(start))?;
        if matches!(&bytes[start..], b"\n" | b"\r\n") {
            break;
        }
    }
    let mut lines = [EMPTY_HEADER; HEADERS_MOST];
    let mut parsed = httparse::Response::new(&mut lines);
    match parsed.parse(&bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(nonsense("its head ends before it is complete")),
        Err(e) => return Err(nonsense(format!("its head is none of HTTP/1.1: {e}"))),
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
    let headers = parsed.headers.iter().map(|one| (one.name.to_ascii_lowercase(), text(one.value))).collect();
    let status = parsed.code.filter(|code| (100..600).contains(code));
    let status = status.ok_or_else(|| nonsense("its status is none"))?;
    Ok((Answer { status, headers, body: Vec::new() }, parsed.version.unwrap_or(0)))
}

fn within(length: u64, most: u64) -> io::Result<()> {
    match length > most {
        true => Err(io::Error::new(TOO_LONG, format!("its answer has more than {most} bytes"))),
        false => Ok(()),
    }
}

/// Memory grows with what arrives, not with what is announced.
fn exactly(input: &mut impl BufRead, length: u64, most: u64) -> io::Result<Vec<u8>> {
    within(length, most)?;
    let mut body = Vec::new();
    match input.take(length).read_to_end(&mut body)? as u64 == length {
        true => Ok(body),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn to_end(input: &mut impl BufRead, most: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.take(most + 1).read_to_end(&mut body)?;
    within(body.len() as u64, most)?;
    Ok(body)
}

fn chunks(input: &mut impl BufRead, most: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut first = Vec::new();
        line(input, &mut first, LINE_MOST)?;
        let length = match httparse::parse_chunk_size(&first) {
            Ok(Status::Complete((_, length))) => length,
            _ => return Err(nonsense("a chunk of its answer has no length")),
        };
        if length == 0 {
            break;
        }
        within((body.len() as u64).saturating_add(length), most)?;
        body.append(&mut exactly(input, length, most)?);
        let mut end = Vec::new();
        line(input, &mut end, 2)?;
        if end != b"\r\n" {
            return Err(nonsense("a chunk of its answer is longer than it says"));
        }
    }
    let mut trailer = Vec::new();
    loop {
        let start = trailer.len();
        line(input, &mut trailer, HEAD_MOST.saturating_sub(start))?;
        if matches!(&trailer[start..], b"\n" | b"\r\n") {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use std::io::BufReader;

    const ANSWERS: [&str; 4] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: x\r\n\r\n",
        "HTTP/1.0 401 No\r\nWWW-Authenticate: Negotiate AAAA\r\n\r\nhello",
        "HTTP/1.1 204 None\r\n\r\n",
    ];

    fn read(bytes: &[u8]) -> std::io::Result<(Answer, bool)> {
        Answer::read(&mut BufReader::new(bytes), "GET", 64)
    }

    #[test]
    fn damaged_answers_are_bounded() {
        let mut state = 4u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut good = 0;
        for number in 0..4000 {
            let mut bytes = ANSWERS[number % ANSWERS.len()].as_bytes().to_vec();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] = b"\r\n:0123456789afF, "[random(17)],
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.splice(at..at, *b"99").for_each(drop),
                }
            }
            if let Ok((answer, _)) = read(&bytes) {
                good += 1;
                assert!(answer.body.len() <= 64 && (200..600).contains(&answer.status), "{answer:?}");
                assert!(answer.headers.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
            }
        }
        assert!(good > 1000 && good < 3900, "{good}");
    }

    #[test]
    fn only_whole_answers_on_lasting_connections_are_kept() {
        let kept = |text: &str| read(text.as_bytes()).unwrap().1;
        assert_eq!(ANSWERS.map(kept), [true, true, false, true]);
        assert!(!kept("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n"));
        assert!(read(&ANSWERS[0].as_bytes()[..40]).is_err());
    }
}
