//! What a server is told: defaults, a file, the environment, options; what comes later wins.

use crate::args::{Common, DurabilityLevel, Isolation, LogLevel, ServeArgs};
use crate::{descriptors, paths, size};
use pyrepl3_engine::{Code, Durability, Failure, SearchPath};
use pyrepl3_server::{Config, Token};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};

/// What names of the environment begin with.
const PREFIX: &str = "PYREPL3_SERVE_";
/// Bytes of a file of settings.
const LARGEST: u64 = 1 << 20;

/// A server's configuration, and how much is logged.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) log_level: LogLevel,
}

/// What one source says. The names are those of the options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Layer {
    data: Option<PathBuf>,
    python: Option<PathBuf>,
    listen: Option<SocketAddr>,
    unix: Option<PathBuf>,
    token_file: Option<PathBuf>,
    insecure_public: Option<bool>,
    allow_host: Option<Vec<String>>,
    allow_origin: Option<Vec<String>>,
    #[serde(deserialize_with = "seconds")]
    drain: Option<f64>,
    keep_sessions: Option<bool>,
    durability: Option<DurabilityLevel>,
    #[serde(deserialize_with = "seconds")]
    linger: Option<f64>,
    #[serde(deserialize_with = "bytes")]
    journal_output: Option<u64>,
    #[serde(deserialize_with = "bytes")]
    journal_events: Option<u64>,
    #[serde(deserialize_with = "bytes")]
    journal_total: Option<u64>,
    #[serde(deserialize_with = "seconds")]
    journal_days: Option<f64>,
    max_sessions: Option<usize>,
    spares: Option<usize>,
    log_level: Option<LogLevel>,
}

fn seconds<'de, D: Deserializer<'de>>(source: D) -> Result<Option<f64>, D::Error> {
    let number = f64::deserialize(source)?;
    if (0.0..=1e9).contains(&number) {
        Ok(Some(number))
    } else {
        Err(D::Error::custom("it must be a number from 0 on"))
    }
}

fn bytes<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(source)? {
        Size::Bytes(bytes) => Ok(Some(bytes)),
        Size::Text(text) => size::parse(&text).map(Some).map_err(D::Error::custom),
    }
}

impl Layer {
    fn of_file(path: &Path) -> Result<Layer, Failure> {
        let refused = |why: String| {
            let how = "its names are those of the options of `pyrepl3 serve`, without the dashes before them: see docs/api.md";
            Failure::new(Code::BadRequest, format!("the settings in {} cannot be used", path.display()), why, how)
        };
        let known = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?;
        if known.len() > LARGEST {
            return Err(refused(format!("the file has {}: it is none of settings", size::bytes(known.len()))));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let mut layer: Layer = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        // What it names lies beside it.
        let folder = path.parent().unwrap_or(Path::new(""));
        for named in [&mut layer.data, &mut layer.python, &mut layer.unix, &mut layer.token_file].into_iter().flatten()
        {
            *named = folder.join(paths::expand(&*named));
        }
        Ok(layer)
    }

    fn of_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Layer, Failure> {
        let mut table = Table::new();
        for (name, value) in variables {
            let Some(option) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
            let option = option.to_ascii_lowercase().replace('_', "-");
            let refused = |why: String| {
                let (what, how) = (
                    format!("the environment variable {} cannot be used", name.to_string_lossy()),
                    "set it to what the option of the same name takes, or unset it",
                );
                Failure::new(Code::BadRequest, what, why, how)
            };
            let text = value.into_string().map_err(|_| refused("it is no text".to_owned()))?;
            let value = readings(&option, &text).find_map(|reading| {
                Layer::deserialize(Table::from_iter([(option.clone(), reading.clone())])).ok().map(|_| reading)
            });
            let Some(value) = value else {
                let one = Table::from_iter([(option.clone(), Value::String(text))]);
                let why = Layer::deserialize(one).err().map_or_else(String::new, |error| error.message().to_owned());
                return Err(refused(why));
            };
            table.insert(option, value);
        }
        Layer::deserialize(table)
            .map_err(|error| Failure::new(Code::BadRequest, "the environment cannot be used", error.message(), ""))
    }

    fn of_options(args: &ServeArgs, common: &Common) -> Layer {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        Layer {
            data: common.data.clone(),
            python: common.python.clone(),
            listen: args.listen,
            unix: args.unix.clone(),
            token_file: args.token_file.clone(),
            insecure_public: args.insecure_public.then_some(true),
            allow_host: some(&args.allow_host),
            allow_origin: some(&args.allow_origin),
            drain: args.drain,
            keep_sessions: args.keep_sessions.then_some(true),
            durability: args.durability,
            linger: args.linger,
            journal_output: args.journal_output,
            journal_events: args.journal_events,
            journal_total: args.journal_total,
            journal_days: args.journal_days,
            max_sessions: args.max_sessions,
            spares: args.spares,
            log_level: args.log_level,
        }
    }

    /// This one, and where it says nothing, another.
    fn or(self, other: Layer) -> Layer {
        // To listen somewhere replaces where another source listens.
        let places = self.listen.is_some() || self.unix.is_some();
        let (listen, unix) = if places { (self.listen, self.unix) } else { (other.listen, other.unix) };
        Layer {
            data: self.data.or(other.data),
            python: self.python.or(other.python),
            listen,
            unix,
            token_file: self.token_file.or(other.token_file),
            insecure_public: self.insecure_public.or(other.insecure_public),
            allow_host: self.allow_host.or(other.allow_host),
            allow_origin: self.allow_origin.or(other.allow_origin),
            drain: self.drain.or(other.drain),
            keep_sessions: self.keep_sessions.or(other.keep_sessions),
            durability: self.durability.or(other.durability),
            linger: self.linger.or(other.linger),
            journal_output: self.journal_output.or(other.journal_output),
            journal_events: self.journal_events.or(other.journal_events),
            journal_total: self.journal_total.or(other.journal_total),
            journal_days: self.journal_days.or(other.journal_days),
            max_sessions: self.max_sessions.or(other.max_sessions),
            spares: self.spares.or(other.spares),
            log_level: self.log_level.or(other.log_level),
        }
    }
}

/// What a text of the environment may mean: a text, a number or a truth, a list of texts.
fn readings<'a>(option: &'a str, text: &'a str) -> impl Iterator<Item = Value> + 'a {
    let literal = || text.parse::<Value>().ok();
    let list = || Some(Value::Array(text.split(',').map(|one| Value::String(one.trim().to_owned())).collect()));
    let listed = option.starts_with("allow-");
    [Some(Value::String(text.to_owned())).filter(|_| !listed), literal().filter(|_| !listed), list().filter(|_| listed)]
        .into_iter()
        .flatten()
}

/// Everything that a server is told.
///
/// # Errors
/// `bad_request`: a source cannot be used.
pub(super) fn read(args: &ServeArgs, common: &Common) -> Result<Settings, Failure> {
    let file = args.config.as_deref().map(Layer::of_file).transpose()?.unwrap_or_default();
    let said = Layer::of_options(args, common).or(Layer::of_environment(std::env::vars_os())?.or(file));
    if common.isolation.is_some_and(|isolation| isolation != Isolation::None) {
        return Err(Failure::new(
            Code::BadRequest,
            "sessions cannot be isolated",
            "this version has no cells yet: code that clients send runs with all rights of your user",
            "leave --isolation out, and serve only those whom you trust",
        ));
    }
    let Some(data) = said.data.or_else(paths::data_dir) else {
        let how = "name one with --data DIR";
        return Err(Failure::new(Code::BadRequest, "there is no data directory", "HOME is not set", how));
    };
    let mut config = Config::new(data, SearchPath::from_env());
    // A Unix socket alone, where that is all that was asked for.
    config.listen = if said.listen.is_none() && said.unix.is_some() { None } else { said.listen.or(config.listen) };
    config.unix = said.unix;
    config.insecure_public = said.insecure_public.unwrap_or(false);
    config.hosts = said.allow_host.unwrap_or_default();
    config.origins = said.allow_origin.unwrap_or_default();
    config.python = said.python;
    config.open_files = descriptors::started_with();
    config.durability = match said.durability.unwrap_or_default() {
        DurabilityLevel::Process => Durability::Process,
        DurabilityLevel::Machine => Durability::Machine,
    };
    config.keep_sessions = said.keep_sessions.unwrap_or(false);
    config.takeover = args.takeover;
    let span = |asked: Option<f64>, without: Duration| asked.map_or(without, Duration::from_secs_f64);
    config.drain = span(said.drain, config.drain);
    config.linger = span(said.linger, config.linger);
    config.journal.output = said.journal_output.unwrap_or(config.journal.output);
    config.journal.events = said.journal_events.unwrap_or(config.journal.events);
    config.journal_total = said.journal_total.unwrap_or(config.journal_total);
    config.journal_age = said.journal_days.map_or(config.journal_age, |days| Duration::from_secs_f64(days * 86_400.0));
    config.spares = said.spares.unwrap_or(config.spares);
    config.limits.sessions = said.max_sessions.unwrap_or(config.limits.sessions);
    if let Some(file) = &said.token_file {
        let token = Token::read(file).map_err(|error| {
            let why = format!("{}: {error}", file.display());
            Failure::new(Code::BadRequest, "the token cannot be used", why, "")
        })?;
        config.token = Some(token);
    }
    Ok(Settings { config, log_level: said.log_level.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Layer, Failure> {
        Layer::of_environment(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn the_environment_is_read_as_options_are() {
        let layer = environment(&[
            ("PYREPL3_SERVE_LISTEN", "127.0.0.1:1"),
            ("PYREPL3_SERVE_DRAIN", "2.5"),
            ("PYREPL3_SERVE_LINGER", "3"),
            ("PYREPL3_SERVE_KEEP_SESSIONS", "true"),
            ("PYREPL3_SERVE_ALLOW_HOST", "a.example, 10"),
            ("PYREPL3_SERVE_JOURNAL_TOTAL", "2 GiB"),
            ("PYREPL3_SERVE_TOKEN_FILE", "7"),
            ("PYREPL3_BIN", "x"),
        ])
        .unwrap();
        assert_eq!(layer.listen, Some(([127, 0, 0, 1], 1).into()));
        assert_eq!((layer.drain, layer.linger, layer.keep_sessions), (Some(2.5), Some(3.0), Some(true)));
        assert_eq!(layer.allow_host.unwrap(), ["a.example", "10"]);
        assert_eq!(layer.journal_total, Some(2 << 30));
        assert_eq!(layer.token_file, Some("7".into()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value, says) in [
            ("PYREPL3_SERVE_LISTEN", "here", "socket address"),
            ("PYREPL3_SERVE_DRAIN", "-1", ""),
            ("PYREPL3_SERVE_LISTNE", "127.0.0.1:1", "listne"),
            ("PYREPL3_SERVE_DURABILITY", "disk", "machine"),
        ] {
            let failure = environment(&[(name, value)]).unwrap_err();
            assert!(failure.what.contains(name) && failure.why.contains(says), "{failure:?}");
        }
    }

    #[test]
    fn a_file_says_where_it_is_wrong() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let path = folder.join("serve.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Layer::of_file(&path)
        };
        let layer =
            read("listen = \"127.0.0.1:0\"\ndata = \"state\"\njournal-output = \"10M\"\nallow-host = [\"a\"]\n")
                .unwrap();
        assert_eq!(layer.data, Some(folder.join("state")));
        assert_eq!(layer.journal_output, Some(10 << 20));
        for (text, says) in [
            ("drain = 1\nlisten = \"nowhere\"\n", "line 2"),
            ("drain = 1\n\nlistn = 1\n", "line 3"),
            ("drain = -1\n", "from 0 on"),
            ("durability = \"disk\"", "line 1"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.why.contains(says), "{failure:?}");
        }
    }

    #[test]
    fn options_win_over_the_environment_and_that_over_the_file() {
        let file = Layer {
            drain: Some(1.0),
            linger: Some(1.0),
            max_sessions: Some(1),
            unix: Some("a".into()),
            ..Layer::default()
        };
        let environment = Layer { drain: Some(2.0), linger: Some(2.0), ..Layer::default() };
        let options = Layer { drain: Some(3.0), listen: Some(([127, 0, 0, 1], 1).into()), ..Layer::default() };
        let said = options.or(environment.or(file));
        assert_eq!((said.drain, said.linger, said.max_sessions), (Some(3.0), Some(2.0), Some(1)));
        assert_eq!(said.unix, None);
    }
}
