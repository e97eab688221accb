//! Parameters of an address. What is not known is refused: a misspelt name would else be ignored without a word.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::borrow::Cow;

/// Bytes of a query, and parameters in it.
const LONGEST: usize = 16 << 10;
const MOST: usize = 100;

/// Entries of a page, without a limit and at most.
const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// The parameters of an address that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Problem> {
        Query::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Result<Query, Problem> {
        let pairs: Vec<_> = form_urlencoded::parse(text.as_bytes())
            .take(MOST + 1)
            .map(|(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned()))
            .collect();
        if text.len() > LONGEST || pairs.len() > MOST {
            return Err(Problem::bad_request(
                "the query is too long",
                format!("it may have {LONGEST} bytes and {MOST} parameters"),
                "ask for less",
            ));
        }
        Ok(Query(pairs))
    }

    /// Every value of a name.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == name);
        self.0 = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a name that stands there once, or not at all.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(bad(name, "it is given more than once", "give it once"));
        }
        Ok(values.pop())
    }

    /// A whole number, from 0 on.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| bad(name, "it is no whole number from 0 on", "give digits only"))
    }

    /// How many entries a page may have, of `limit`.
    pub(crate) fn page_limit(&mut self) -> Result<usize, Problem> {
        let limit = self.number("limit")?.unwrap_or(PAGE);
        let fits = usize::try_from(limit).ok().filter(|_| (1..=LARGEST_PAGE).contains(&limit));
        let how = format!("give a number from 1 to {LARGEST_PAGE}");
        fits.ok_or_else(|| bad("limit", "no page is of that size", &how))
    }

    /// Seconds, from 0 to a most.
    pub(crate) fn seconds(&mut self, name: &str, most: f64) -> Result<Option<f64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && (0.0..=most).contains(seconds));
        let how = format!("give seconds from 0 to {most}");
        seconds.map(Some).ok_or_else(|| bad(name, "it is no such number of seconds", &how))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.one(name)?.as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(bad(name, "it is neither true nor false", "give true or false")),
        }
    }

    /// Nothing more is known: what is left is refused.
    pub(crate) fn end(self) -> Result<(), Problem> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        let name: String = name.chars().take(80).collect();
        Err(bad(&name, "there is no such parameter here", "leave it out, or look its name up in /openapi.json"))
    }
}

fn bad(name: &str, why: &str, how: &str) -> Problem {
    Problem::bad_request(format!("the parameter {name} cannot be used"), why, how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_and_the_rest_refused() {
        let mut query = Query::parse("after=7&label=a%3Db&label=c&wait=1.5&follow=false").unwrap();
        assert_eq!(query.number("after").unwrap(), Some(7));
        assert_eq!(query.all("label"), ["a=b", "c"]);
        assert_eq!(query.seconds("wait", 10.0).unwrap(), Some(1.5));
        assert_eq!(query.flag("follow").unwrap(), Some(false));
        query.end().unwrap();
        for text in ["after=-1", "after=x", "after=1&after=2", "after=99999999999999999999"] {
            assert!(Query::parse(text).unwrap().number("after").is_err(), "{text}");
        }
        for text in ["wait=nan", "wait=-1", "wait=inf", "wait=11"] {
            assert!(Query::parse(text).unwrap().seconds("wait", 10.0).is_err(), "{text}");
        }
        assert!(Query::parse("afer=1").unwrap().end().is_err());
        assert!(Query::parse(&"a&".repeat(200)).is_err());
    }
}
