//! What a host says about its server: read by the driver, but for what concerns TLS.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::config::PostgresConfig;
use crate::connections::SHORTEST_CONNECT;

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

/// When a connection over which nothing goes is tried, and how often: what stands between may forget it, and tell nobody.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// What the driver takes for given where nothing is said.
const DRIVERS_IDLE: Duration = Duration::from_hours(2);

impl Server {
    /// What is wrong with a URL is said without a word of it: there may be a password in it.
    pub(crate) fn of(config: &PostgresConfig) -> Result<Self, StoreError> {
        let mut tls = Tls::default();
        let is_url =
            config.url.starts_with("postgres://") || config.url.starts_with("postgresql://");
        let rest = if is_url {
            tls.take_from_url(&config.url)?
        } else {
            tls.take_from_pairs(&config.url)?
        };
        let mut parsed = rest
            .parse::<Config>()
            .map_err(|_| refuse("the connection URL cannot be read: see PostgresConfig::url"))?;
        match tls.mode {
            Some(mode) => {
                parsed.ssl_mode(mode);
            }
            // The driver has found what was not found here: then it would not be known whom to trust.
            None if parsed.get_ssl_mode() != SslMode::Prefer => {
                return Err(refuse(
                    "sslmode cannot be told from the rest of the connection URL: write its parameters plainly",
                ));
            }
            None => {}
        }
        let root_certificates = match tls.roots {
            Roots::Unsaid => config.root_certificates.clone(),
            Roots::System => None,
            Roots::At(path) => Some(path),
        };
        if root_certificates.is_some() && tls.trust == Trust::Anyone {
            return Err(refuse(
                "certificates to trust are given, and sslmode verifies none: say verify-full, verify-ca or require",
            ));
        }
        parsed.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if parsed.get_application_name().is_none() {
            parsed.application_name("milepost");
        }
        if parsed.get_connect_timeout().is_none() {
            // Of each address of each host: the last is to have its turn, too.
            let hosts = parsed.get_hosts().len().max(parsed.get_hostaddrs().len());
            let addresses = u32::try_from(2 * hosts.max(1)).unwrap_or(u32::MAX);
            let each = config.busy_timeout / addresses;
            parsed.connect_timeout(each.max(SHORTEST_CONNECT / addresses));
        }
        if parsed.get_tcp_user_timeout().is_none() {
            parsed.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if parsed.get_keepalives_idle() == DRIVERS_IDLE {
            let (idle, interval, retries) = KEEPALIVE;
            parsed.keepalives_idle(idle);
            parsed.keepalives_interval(interval);
            parsed.keepalives_retries(retries);
        }
        Ok(Server {
            config: parsed,
            trust: tls.trust,
            root_certificates,
        })
    }
}

/// What is said about TLS.
struct Tls {
    mode: Option<SslMode>,
    trust: Trust,
    roots: Roots,
}

/// Where the certificates of authorities are.
enum Roots {
    Unsaid,
    System,
    At(PathBuf),
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            mode: None,
            trust: Trust::Anyone,
            roots: Roots::Unsaid,
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
            "sslrootcert" if value == "system" => self.roots = Roots::System,
            "sslrootcert" => self.roots = Roots::At(value.into()),
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
            if !self.take(&decoded(key)?, &decoded(value)?)? {
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

fn decoded(text: &str) -> Result<Cow<'_, str>, StoreError> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| refuse("a parameter of the connection URL is not UTF-8"))
}

/// Where the first `key = value` ends. A quote counts at the beginning of a value only.
fn end_of_pair(pairs: &str) -> usize {
    let Some((key, rest)) = pairs.split_once('=') else {
        return pairs.len();
    };
    let value = rest.trim_start();
    let begins = key.len() + 1 + (rest.len() - value.len());
    let is_quoted = value.starts_with('\'');
    let mut is_escaped = false;
    for (place, character) in value.char_indices().skip(usize::from(is_quoted)) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' if is_quoted => return begins + place + 1,
            _ if character.is_whitespace() && !is_quoted => return begins + place,
            _ => {}
        }
    }
    pairs.len()
}

fn unquoted(value: &str) -> String {
    let quoted = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''));
    let mut characters = quoted.unwrap_or(value).chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}

fn refuse(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        match Server::of(&PostgresConfig::new(url)) {
            Ok(server) => server,
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn sslmode_is_found_wherever_the_driver_finds_it_or_refused() {
        for url in [
            "postgres://u:p@h/db?sslmode=require",
            "postgres://u:p@h/db?connect_timeout=3&sslmode=require&sslrootcert=system",
            "postgres://u:p@h/db?ssl%6Dode=require",
            "host=h sslmode=require user=u",
            "host = h sslmode = 'require' user = u",
            "password='it\\'s sslmode=disable' sslmode=require host=h",
            "password=it's sslmode=require host=h",
            "password=a\\ b sslmode=require host=h",
        ] {
            let server = server(url);
            assert_eq!(server.config.get_ssl_mode(), SslMode::Require, "{url}");
            assert_eq!(server.trust, Trust::Name, "{url}");
        }
        // The driver takes all up to the `@` for the password.
        let refused = Server::of(&PostgresConfig::new(
            "postgres://u:pa?ss@h/db?sslmode=require",
        ));
        assert!(refused.is_err());
    }

    #[test]
    fn passwords_and_hosts_are_left_as_they_are() {
        let server = server("host=a,b password='it\\'s \\\\' sslmode=disable port=1,2 user=u");
        assert_eq!(server.config.get_password(), Some(&b"it's \\"[..]));
        assert_eq!(server.config.get_hosts().len(), 2);
        assert_eq!(server.config.get_ports(), [1, 2]);
    }

    #[test]
    fn each_host_has_its_turn_within_the_time_that_there_is() {
        let server = server("host=a,b,c user=u");
        let each = server.config.get_connect_timeout().copied();
        assert_eq!(each, Some(Duration::from_secs(5) / 6));
        // Unless it is said how long to wait.
        let said = self::server("host=a,b connect_timeout=3 user=u");
        let each = said.config.get_connect_timeout().copied();
        assert_eq!(each, Some(Duration::from_secs(3)));
    }

    #[test]
    fn certificates_that_would_not_be_looked_at_are_refused() {
        for url in [
            "host=h user=u sslrootcert=/roots.pem",
            "host=h user=u sslmode=prefer sslrootcert=/roots.pem",
            "host=h user=u sslmode=disable sslrootcert=/roots.pem",
        ] {
            assert!(Server::of(&PostgresConfig::new(url)).is_err(), "{url}");
        }
        let of_config = PostgresConfig {
            root_certificates: Some("/roots.pem".into()),
            ..PostgresConfig::new("host=h user=u sslmode=verify-full sslrootcert=system")
        };
        let server = Server::of(&of_config).unwrap();
        assert_eq!(server.root_certificates, None);
    }
}
