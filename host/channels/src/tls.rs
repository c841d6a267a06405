//! Connections encrypted by TLS 1.2 or 1.3, both ends known by X.509 certificates: `doc/proto.md`, section "TLS support".

use crate::address::{Address, Place, Tls};
use crate::stream::{Stream, lock};
use crate::trust::Trust;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, DigitallySignedStruct, RootCertStore};
use rustls::{ServerConfig, ServerConnection, SignatureScheme};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Bytes that are encrypted at once, and room for as much.
const PIECE: usize = 128 << 10;

/// How long the last word may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A server's certificate and key, and who may connect.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn refused(what: &str, e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{what}: {e}"))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let list: Vec<_> = read.map_err(|e| refused(&format!("cannot read {}", path.display()), e))?;
    if list.is_empty() {
        return Err(refused(&path.display().to_string(), "there is no certificate in it"));
    }
    Ok(list)
}

fn key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| refused(&format!("cannot read {}", path.display()), e))
}

fn authorities(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| refused(&format!("{} holds no authority", path.display()), e))?;
    }
    Ok(roots)
}

fn system_authorities() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(refused("this system trusts no authority", "say whom you trust: ?tls-certificates=DIR"));
    }
    Ok(roots)
}

fn client_config(tls: &Tls) -> io::Result<ClientConfig> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| refused("TLS", e))?;
    let folder = tls.certificates.as_deref();
    let builder = match tls.verify {
        false => builder.dangerous().with_custom_certificate_verifier(Anybody::verifier(None)),
        true => builder.with_root_certificates(match folder {
            Some(folder) => authorities(&folder.join("ca-cert.pem"))?,
            None => system_authorities()?,
        }),
    };
    let own = folder.map(|folder| (folder.join("client-cert.pem"), folder.join("client-key.pem")));
    match own.filter(|(certificate, _)| certificate.exists()) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, secret)) => {
            let made = builder.with_client_auth_cert(certificates(&certificate)?, key(&secret)?);
            made.map_err(|e| refused(&format!("cannot use {}", certificate.display()), e))
        }
    }
}

/// How a server of which this is known is talked to.
pub(crate) fn trusting(trust: &Trust) -> io::Result<Arc<ClientConfig>> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| refused("TLS", e))?;
    let own = |print| Anybody::verifier(print);
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_authorities()?),
        Trust::Authority(file) => builder.with_root_certificates(authorities(file)?),
        Trust::Fingerprint(print) => builder.dangerous().with_custom_certificate_verifier(own(Some(*print))),
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(own(None)),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// Random bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = provider().secure_random.fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("this system has no random numbers"))
}

/// An encrypted connection and the other side's certificate (DER).
pub(crate) struct Agreed {
    pub stream: Box<dyn Stream>,
    pub certificate: Option<Vec<u8>>,
}

/// Agrees on encryption.
pub(crate) fn agree(mut session: Connection, mut stream: Box<dyn Stream>) -> io::Result<Agreed> {
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).map(|one| one.to_vec());
    Ok(Agreed { stream: Encrypted::agree(session, stream)?, certificate })
}

/// Encrypts a connection that a server has agreed to encrypt.
pub(crate) fn connect(stream: Box<dyn Stream>, address: &Address, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    let host = match (&tls.hostname, &address.place) {
        (Some(name), _) => name,
        (None, Place::Tcp(host, _)) => host,
        (None, Place::Unix(_)) => "localhost",
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|e| refused(host, e))?;
    let session =
        ClientConnection::new(Arc::new(client_config(tls)?), name).map_err(|e| refused("TLS", e))?;
    let whose =
        format!("no TLS with {host} (its certificate is checked by ?tls-certificates and tls-hostname)");
    Encrypted::agree(session.into(), stream).map_err(|e| io::Error::new(e.kind(), format!("{whose}: {e}")))
}

impl ServerTls {
    /// From a folder with `server-cert.pem` and `server-key.pem`. If it holds `ca-cert.pem` as well, clients have to show
    /// a certificate of that authority.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|e| refused("TLS", e))?;
        let authority = folder.join("ca-cert.pem");
        let builder = if authority.exists() {
            let roots = Arc::new(authorities(&authority)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| refused("TLS", e))?)
        } else {
            builder.with_no_client_auth()
        };
        let own = folder.join("server-cert.pem");
        let made = builder.with_single_cert(certificates(&own)?, key(&folder.join("server-key.pem"))?);
        made.map(|config| Self(Arc::new(config)))
            .map_err(|e| refused(&format!("cannot use {}", own.display()), e))
    }

    pub(crate) fn accept(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let session = ServerConnection::new(self.0.clone()).map_err(|e| refused("TLS", e))?;
        Encrypted::agree(session.into(), stream)
    }
}

/// Believes every server, because the operator said so, or only the one whose certificate has this SHA-256; signatures are
/// still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>, Option<[u8; 32]>);

impl Anybody {
    fn verifier(print: Option<[u8; 32]>) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Self(provider(), print))
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.1.is_some_and(|print| Sha256::digest(certificate)[..] != print) {
            let found: String =
                Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(rustls::Error::General(format!("its certificate has the fingerprint {found}")));
        }
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An encrypted connection. The session is never held while a socket waits: one thread may read while another writes.
struct Encrypted(Arc<Shared>);

struct Shared {
    session: Mutex<Connection>,
    input: Mutex<Input>,
    output: Mutex<Output>,
}

struct Input {
    stream: Box<dyn Stream>,
    bytes: Vec<u8>,
    /// What of `bytes` is still to be decrypted.
    start: usize,
    end: usize,
}

struct Output {
    stream: Box<dyn Stream>,
    bytes: Vec<u8>,
}

impl Encrypted {
    fn agree(mut session: Connection, mut stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        session.set_buffer_limit(Some(2 * PIECE));
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let input = Input { stream: stream.twin()?, bytes: vec![0; PIECE], start: 0, end: 0 };
        let output = Output { stream, bytes: Vec::new() };
        let (session, input, output) = (Mutex::new(session), Mutex::new(input), Mutex::new(output));
        Ok(Box::new(Self(Arc::new(Shared { session, input, output }))))
    }
}

impl Shared {
    /// Why the other side went away, if it said so: a server looks at certificates when its client is ready already.
    fn last_word(&self) -> Option<io::Error> {
        let mut input = self.input.try_lock().ok()?;
        let Input { stream, bytes, .. } = &mut *input;
        let count = stream.read(bytes).ok()?;
        let mut session = lock(&self.session);
        session.read_tls(&mut &bytes[..count]).ok()?;
        session.process_new_packets().err().map(|e| refused("TLS", e))
    }
}

impl Read for Encrypted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut input = lock(&self.0.input);
        let Input { stream, bytes, start, end } = &mut *input;
        loop {
            let mut session = lock(&self.0.session);
            match session.reader().read(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if start == end {
                drop(session);
                (*start, *end) = (0, stream.read(bytes)?);
                session = lock(&self.0.session);
            }
            *start += session.read_tls(&mut &bytes[*start..*end])?;
            session.process_new_packets().map_err(|e| refused("TLS", e))?;
        }
    }
}

impl Output {
    /// Sends what the session has encrypted.
    fn send(&mut self, mut session: MutexGuard<'_, Connection>) -> io::Result<()> {
        self.bytes.clear();
        while session.wants_write() {
            session.write_tls(&mut self.bytes)?;
        }
        drop(session);
        self.stream.write_all(&self.bytes)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = lock(&self.0.output);
        let mut session = lock(&self.0.session);
        let taken = session.writer().write(&bytes[..bytes.len().min(PIECE)])?;
        match output.send(session) {
            Ok(()) => Ok(taken),
            Err(e) => Err(self.0.last_word().unwrap_or(e)),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Encrypted {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Self(self.0.clone())))
    }
    fn patience(&self, time: Option<Duration>) -> io::Result<()> {
        lock(&self.0.output).stream.patience(time)
    }
    fn is_quiet(&self) -> bool {
        lock(&self.0.output).stream.is_quiet()
    }
    fn hang_up(&self) {
        let mut output = lock(&self.0.output);
        let mut session = lock(&self.0.session);
        session.send_close_notify();
        let _gone = output.stream.patience(Some(FAREWELL));
        let _gone = output.send(session);
        output.stream.hang_up();
    }
}
