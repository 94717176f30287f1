//! What a host says about its server: read by the driver, but for what concerns TLS.

use std::path::PathBuf;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::config::PostgresConfig;

/// Which server to trust, from what `sslmode` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever answers, encrypted if they can.
    Anyone,
    /// Who has a certificate of a trusted authority, whatever its name.
    Authority,
    /// Who has one in the name of the host that was asked for.
    Name,
}

/// A server, and how to tell that it is the one.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) root_certificates: Option<PathBuf>,
}

/// What nothing came back for after so long is taken for lost, unless the host says otherwise.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);

impl Server {
    /// What is wrong with a URL is said without a word of it: there may be a password in it.
    pub(crate) fn of(config: &PostgresConfig) -> Result<Self, StoreError> {
        let mut tls = Tls::default();
        let rest =
            if config.url.starts_with("postgres://") || config.url.starts_with("postgresql://") {
                tls.take_from_url(&config.url)?
            } else {
                tls.take_from_pairs(&config.url)?
            };
        let mut parsed = rest
            .parse::<Config>()
            .map_err(|_| refuse("the connection URL cannot be read: see PostgresConfig::url"))?;
        if let Some(mode) = tls.mode {
            parsed.ssl_mode(mode);
        }
        parsed.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if parsed.get_application_name().is_none() {
            parsed.application_name("milepost");
        }
        if parsed.get_connect_timeout().is_none() {
            parsed.connect_timeout(config.busy_timeout);
        }
        if parsed.get_tcp_user_timeout().is_none() {
            parsed.tcp_user_timeout(UNACKNOWLEDGED);
        }
        Ok(Server {
            config: parsed,
            trust: tls.trust,
            root_certificates: tls.roots.or_else(|| config.root_certificates.clone()),
        })
    }
}

/// What is said about TLS.
struct Tls {
    mode: Option<SslMode>,
    trust: Trust,
    roots: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            mode: None,
            trust: Trust::Anyone,
            roots: None,
        }
    }
}

impl Tls {
    /// Notes a parameter, if it is one of those. The driver knows neither what verifies nor where certificates are.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, StoreError> {
        match key {
            "sslmode" => {
                let (mode, trust) = match value {
                    "disable" => (SslMode::Disable, Trust::Anyone),
                    "allow" | "prefer" => (SslMode::Prefer, Trust::Anyone),
                    "require" | "verify-full" => (SslMode::Require, Trust::Name),
                    "verify-ca" => (SslMode::Require, Trust::Authority),
                    _ => {
                        return Err(refuse(
                            "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full",
                        ));
                    }
                };
                (self.mode, self.trust) = (Some(mode), trust);
            }
            "sslrootcert" => self.roots = (value != "system").then(|| PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The URL without what was taken.
    fn take_from_url(&mut self, url: &str) -> Result<String, StoreError> {
        let Some((server, query)) = url.split_once('?') else {
            return Ok(url.to_owned());
        };
        let mut rest = Vec::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| refuse("a parameter of the connection URL is not UTF-8"))?;
            if !self.take(key, &value)? {
                rest.push(pair);
            }
        }
        Ok(if rest.is_empty() {
            server.to_owned()
        } else {
            format!("{server}?{}", rest.join("&"))
        })
    }

    /// The pairs without what was taken. Values may stand in single quotes, with backslashes before what is quoted.
    fn take_from_pairs(&mut self, pairs: &str) -> Result<String, StoreError> {
        let mut rest = String::new();
        let mut left = pairs.trim_start();
        while !left.is_empty() {
            let end = end_of_pair(left);
            let (pair, behind) = left.split_at(end);
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.take(key.trim(), &unquoted(value.trim()))? {
                rest.push_str(pair);
                rest.push(' ');
            }
            left = behind.trim_start();
        }
        Ok(rest)
    }
}

/// Where the first `key = value` ends.
fn end_of_pair(pairs: &str) -> usize {
    let mut in_quotes = false;
    let mut is_escaped = false;
    let mut in_value = false;
    let mut before_value = true;
    for (place, character) in pairs.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_value => is_escaped = true,
            '\'' if in_value => in_quotes = !in_quotes,
            '=' if !in_value => in_value = true,
            _ if character.is_whitespace() && !in_quotes && in_value && !before_value => {
                return place;
            }
            _ => {}
        }
        if in_value && character != '=' && !character.is_whitespace() {
            before_value = false;
        }
    }
    pairs.len()
}

fn unquoted(value: &str) -> String {
    let mut characters = value.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {}
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}

fn refuse(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, why)
}
