//! Buckets and containers of the providers, by their environment, and what went wrong there in words.

use crate::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::time::Duration;

/// Seconds for which a failed request is repeated, unless the environment says another number.
const PATIENCE: u64 = 120;
const PATIENCE_KEY: &str = "WHERRY_STORE_PATIENCE";
/// A server that says nothing for so many seconds has hung.
const SILENCE: u64 = 30;
/// A connection that takes so many seconds will not come.
const CONNECT: u64 = 15;
const REPEAT: usize = 8;
/// No upload takes so many seconds: `upload_limit` is less.
const UPLOAD: u64 = 30 * 24 * 3600;
/// A pack of the usual size.
const PACK: usize = 32 << 20;
pub(crate) const LATE: &str = "no answer came in time";
/// Where credentials are looked for last: services on a provider's own machines.
const METADATA: [&str; 4] =
    ["/latest/meta-data/", "/latest/api/token", "/metadata/identity/", "/computeMetadata/v1/"];

/// A bucket, by two clients: a large upload hears nothing while it lasts.
pub(crate) struct Bucket {
    pub place: Place,
    pub store: Arc<dyn ObjectStore>,
    pub uploads: Arc<dyn ObjectStore>,
    pub patience: Duration,
}

/// What an address says.
#[derive(Clone)]
pub(crate) struct Place {
    kind: Kind,
    pub address: String,
    bucket: String,
    pub prefix: String,
}

#[derive(Clone, Copy)]
enum Kind {
    S3,
    Azure,
    Google,
}

impl Place {
    /// None for an address of another kind.
    pub fn parse(address: &str) -> Option<Result<Self>> {
        let (scheme, rest) = address.split_once("://")?;
        let kind = match scheme {
            "s3" => Kind::S3,
            "az" => Kind::Azure,
            "gs" => Kind::Google,
            _ => return None,
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // Not repeated: what stands before an `@` or behind a `?` may be a secret.
        if bucket.is_empty() || rest.contains(['@', '?', '#']) || bucket.contains(':') {
            let form = format!("say {scheme}://BUCKET/PREFIX, and keep credentials in the environment");
            return Some(Err(Error::new(ErrorKind::Unsupported, format!("no address of a bucket: {form}"))));
        }
        let prefix = prefix.trim_matches('/').to_owned();
        let address = format!("{scheme}://{bucket}/{prefix}").trim_end_matches('/').to_owned();
        Some(Ok(Self { kind, address, bucket: bucket.into(), prefix }))
    }

    /// The same address means another bucket at another endpoint or account.
    pub fn at(&self) -> String {
        let keys: &[&str] = match self.kind {
            Kind::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
            Kind::Azure => &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
            Kind::Google => &["GOOGLE_BASE_URL"],
        };
        let values: Vec<_> = keys.iter().filter_map(|key| std::env::var(key).ok()).collect();
        format!("{} {}", values.join(" "), self.address)
    }

    pub fn error(&self, what: &str, key: &str, e: &object_store::Error) -> Error {
        let text = e.to_string();
        let code = between(&text, "<Code>", "</Code>");
        let bucket = matches!(code, Some("NoSuchBucket" | "ContainerNotFound"));
        let kind = match e {
            object_store::Error::NotFound { .. } if !bucket => ErrorKind::Missing,
            _ => ErrorKind::Store,
        };
        let reason = reason(e, &text);
        let next = if bucket {
            "; make the bucket first, or correct the address".into()
        } else if reason.contains("certificate") {
            "; its authority must be one of this machine's, or in the file that SSL_CERT_FILE names".into()
        } else if reason.contains("scheme is not allowed") {
            format!("; an endpoint without TLS must be allowed: {}_ALLOW_HTTP=true", self.family())
        } else {
            self.next(e, &text)
        };
        Error::new(kind, format!("cannot {what} {}/{key}: {reason}{next}", self.address))
    }

    fn family(&self) -> &str {
        match self.kind {
            Kind::S3 => "AWS",
            Kind::Azure => "AZURE",
            Kind::Google => "GOOGLE",
        }
    }

    fn next(&self, e: &object_store::Error, text: &str) -> String {
        let (credentials, endpoint) = match self.kind {
            Kind::S3 => ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION", "AWS_ENDPOINT_URL"),
            Kind::Azure => {
                ("AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT")
            }
            Kind::Google => ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_BASE_URL"),
        };
        let asked = METADATA.iter().any(|path| text.contains(path));
        match e {
            _ if asked => format!("; there are no credentials in the environment ({credentials})"),
            _ if ["status code: 401", "status code: 403"].iter().any(|denied| text.contains(denied)) => {
                format!(
                    "; the credentials ({credentials}) must be allowed to read, write, list and delete there"
                )
            }
            object_store::Error::NotFound { .. } => String::new(),
            _ if transport(e) == Some(HttpErrorKind::Connect) => {
                format!("; is the server up, and the endpoint ({endpoint}) right?")
            }
            _ => "; what is complete stays, the same command goes on".into(),
        }
    }
}

impl Bucket {
    /// How long an upload may take: a pack for every five minutes, about a megabit a second.
    pub fn upload_limit(&self, length: usize) -> Duration {
        let packs = u32::try_from(length / PACK).unwrap_or(u32::MAX).saturating_add(1);
        (self.patience.saturating_mul(5) / 2).saturating_mul(packs)
    }

    pub fn open(place: &Place) -> Result<Self> {
        let patience = std::env::var(PATIENCE_KEY).ok().and_then(|text| text.parse().ok());
        let patience: u64 = patience.unwrap_or(PATIENCE).max(1);
        // reqwest takes the process's provider of TLS; it may be there already.
        let _there = rustls::crypto::ring::default_provider().install_default();
        let seconds = |number: u64| format!("{number}s");
        // A body that is cut there is asked for from there on.
        let whole = (ClientConfigKey::Timeout, seconds(patience.saturating_mul(5) / 2));
        let upload = (ClientConfigKey::Timeout, seconds(UPLOAD));
        let connect = (ClientConfigKey::ConnectTimeout, seconds(CONNECT.min(patience)));
        let silence = (ClientConfigKey::ReadTimeout, seconds(SILENCE.min(patience)));
        let patience = Duration::from_secs(patience);
        let retry = RetryConfig { max_retries: REPEAT, retry_timeout: patience, ..RetryConfig::default() };
        let build = |limits: &[_]| {
            client(place, limits, &retry).map_err(|e| {
                Error::store(format!("cannot use {}", place.address), reason(&e, &e.to_string()))
            })
        };
        Ok(Self {
            store: build(&[whole, connect.clone(), silence])?,
            uploads: build(&[upload, connect])?,
            place: place.clone(),
            patience,
        })
    }
}

fn client(
    place: &Place,
    limits: &[(ClientConfigKey, String)],
    retry: &RetryConfig,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let limits = limits.iter().cloned();
    Ok(match place.kind {
        Kind::S3 => Arc::new(
            limits
                .fold(AmazonS3Builder::from_env(), |builder, (key, value)| {
                    builder.with_config(AmazonS3ConfigKey::Client(key), value)
                })
                .with_bucket_name(&place.bucket)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                // Objects go one by one, and not every server knows how to delete several.
                .with_disable_bulk_delete(true)
                .with_retry(retry.clone())
                .build()?,
        ),
        Kind::Azure => Arc::new(
            limits
                .fold(MicrosoftAzureBuilder::from_env(), |builder, (key, value)| {
                    builder.with_config(AzureConfigKey::Client(key), value)
                })
                .with_container_name(&place.bucket)
                .with_retry(retry.clone())
                .build()?,
        ),
        Kind::Google => Arc::new(
            limits
                .fold(GoogleCloudStorageBuilder::from_env(), |builder, (key, value)| {
                    builder.with_config(GoogleConfigKey::Client(key), value)
                })
                .with_bucket_name(&place.bucket)
                .with_retry(retry.clone())
                .build()?,
        ),
    })
}

/// How a request failed that got no answer.
pub(crate) fn transport(e: &object_store::Error) -> Option<HttpErrorKind> {
    chain(e).find_map(|e| e.downcast_ref::<HttpError>()).map(HttpError::kind)
}

fn chain<'e>(
    e: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(e), |e| e.source())
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}

/// What the server says, or the innermost reason. Never the request's address, which may hold a signature.
fn reason(e: &object_store::Error, text: &str) -> String {
    let mut words = if let Some(code) = between(text, "<Code>", "</Code>") {
        let message = between(text, "<Message>", "</Message>").unwrap_or_default();
        format!("{code}: {message}")
    } else if let Some((_, status)) = text.split_once("status code: ") {
        format!("the server answered {}", status.split([':', '\n']).next().unwrap_or_default())
    } else if transport(e) == Some(HttpErrorKind::Timeout) {
        LATE.into()
    } else {
        chain(e).last().map(ToString::to_string).unwrap_or_default()
    };
    if words.contains("://") {
        words = "the request failed".into();
    }
    words.retain(|c| !c.is_control());
    words.truncate(words.char_indices().nth(300).map_or(words.len(), |(end, _)| end));
    words
}
