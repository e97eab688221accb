//! Errors as problem documents (RFC 9457): what happened, why, what to do, and whether a retry makes sense.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use pyrepl3_engine::{Code, Failure};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the work that a request asked for was taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Admitted {
    /// It is being done, or was.
    Yes,
    /// It was not, and will not be.
    No,
    /// That cannot be told.
    Unknown,
}

/// A problem document (`application/problem+json`).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// Always `about:blank`: `code` says which problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What happened.
    title: String,
    /// The status of the answer.
    status: u16,
    /// Why.
    detail: String,
    /// What to do.
    how: String,
    /// Which problem it is. A code never changes its meaning.
    code: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Whether the work that was asked for was taken on.
    admitted: Admitted,
    /// With `gone`: the number of the earliest event that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest: Option<u64>,
    /// With `gone`: the number of the last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    /// With `gone`: bytes of output that are not kept any more; null where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    lost_bytes: Option<Option<u64>>,
}

/// A problem, on its way to a client.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<ProblemDocument>);

impl Problem {
    /// A problem that a retry does not mend, and for which nothing was done.
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
        how: impl Into<String>,
    ) -> Problem {
        Problem(Box::new(ProblemDocument {
            kind: "about:blank",
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            how: how.into(),
            code: code.to_owned(),
            retryable: false,
            admitted: Admitted::No,
            earliest: None,
            last: None,
            lost_bytes: None,
        }))
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(title: impl Into<String>, detail: impl Into<String>, how: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", title, detail, how)
    }

    /// One that may pass by itself.
    pub(crate) fn retryable(mut self) -> Problem {
        self.0.retryable = true;
        self
    }

    pub(crate) fn admitted(mut self, admitted: Admitted) -> Problem {
        self.0.admitted = admitted;
        self
    }

    /// Which events there are, where those that were asked for are gone.
    pub(crate) fn with_events(mut self, earliest: u64, last: u64, lost_bytes: Option<u64>) -> Problem {
        (self.0.earliest, self.0.last, self.0.lost_bytes) = (Some(earliest), Some(last), Some(lost_bytes));
        self
    }

    /// Which problem it is.
    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The status that a failure of the engine is told with.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::PythonNotFound | Code::EnvironmentFailed | Code::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UnknownExecution
        | Code::UnknownInput
        | Code::UnknownPool
        | Code::SnapshotNotFound
        | Code::CheckpointNotFound => StatusCode::NOT_FOUND,
        Code::SessionClosed
        | Code::SessionLost
        | Code::DuplicateId
        | Code::NotAcquired
        | Code::Busy
        | Code::Interrupted
        | Code::NoTransaction
        | Code::TransactionOpen
        | Code::NothingToUndo
        | Code::NothingToRedo
        | Code::SnapshotRefused
        | Code::CheckpointDamaged
        | Code::RestoreFailed => StatusCode::CONFLICT,
        Code::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Code::Gone => StatusCode::GONE,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::PoolTimeout => StatusCode::SERVICE_UNAVAILABLE,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let status = status_of(failure.code);
        let retryable = matches!(failure.code, Code::TooMany | Code::Busy | Code::Interrupted | Code::PoolTimeout);
        // What failed inside, or was stopped, may have done some of its work.
        let admitted = match failure.code {
            Code::Interrupted | Code::Internal | Code::ProtocolError | Code::CheckpointFailed => Admitted::Unknown,
            _ => Admitted::No,
        };
        let mut problem = Problem::new(status, failure.code.as_str(), failure.what, failure.why, failure.how);
        (problem.0.retryable, problem.0.admitted) = (retryable, admitted);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
