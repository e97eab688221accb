//! The Python environment of tests and benchmarks: a virtual environment under `target/`, made once for each list of
//! packages.

use crate::{Done, run, target};
use std::path::PathBuf;
use std::process::Command;

/// What tests and benchmarks need beside the standard library.
const PACKAGES: &[&str] = &[
    "numpy>=2,<3",
    "pandas>=2.2,<4",
    "matplotlib>=3.9,<4",
    "pytest>=8,<10",
    "mypy>=1.13,<3",
    "jsonschema>=4.23,<5",
    "ipykernel>=6.29,<8",
    "jupyter_client>=8.6,<9",
    "jupyter_server>=2.14,<3",
    "websockets>=13,<18",
    "scikit-learn>=1.5,<2",
    "scipy>=1.13,<2",
    "networkx>=3.2,<4",
    "sympy>=1.13,<2",
    "lxml>=5.3,<7",
    "pydantic>=2.9,<3",
    "sqlalchemy>=2,<3",
    "msgspec>=0.19,<1",
    "attrs>=24,<27",
    "cachetools>=6,<9",
    "beautifulsoup4>=4.12,<5",
    "polars>=1.9,<2",
    "pillow>=11,<14",
    "dill>=0.3.9,<0.5",
    "cloudpickle>=3.1,<4",
    "trio>=0.27,<1",
    // Libraries that have threads of their own.
    "duckdb>=1.4,<3",
    "pyarrow>=18,<27",
    "numexpr>=2.10,<3",
    "lightgbm>=4.5,<5",
    "xgboost-cpu>=3,<4",
    "grpcio>=1.68,<2",
    "tqdm>=4.67,<5",
];

/// What the matrix of libraries tries beside these, before a release.
const LIBRARIES: &[&str] = &[
    "statsmodels",
    "seaborn",
    "plotly",
    "altair",
    "bokeh",
    "opencv-python-headless",
    "scikit-image",
    "shapely",
    "geopandas",
    "xarray",
    "dask",
    "h5py",
    "zarr",
    "openpyxl",
    "requests",
    "httpx",
    "aiohttp",
    "psycopg[binary]",
    "pydantic-settings",
    "marshmallow",
    "dataclasses-json",
    "tenacity",
    "jinja2",
    "loguru",
    "structlog",
    "rich",
    "click",
    "pint",
    "uncertainties",
    "arrow",
    "pendulum",
    "nltk",
    "spacy",
    "tokenizers",
    "gensim",
    "transformers",
    "joblib",
    "regex",
    "orjson",
    "protobuf",
    "ipywidgets",
];

/// A peer of the benchmarks, and what its twenty steps need.
const KISHU: &[&str] = &["kishu==0.3.4", "numpy", "pandas", "scikit-learn"];

/// Makes the environment if it is not there, and returns its interpreter.
pub(crate) fn make() -> Done<PathBuf> {
    make_of("venv", PACKAGES)
}

/// The same with all libraries of the matrix.
pub(crate) fn make_libraries() -> Done<PathBuf> {
    make_of("venv-libraries", &[PACKAGES, LIBRARIES].concat())
}

/// The same for Kishu, which needs other versions.
pub(crate) fn make_kishu() -> Done<PathBuf> {
    make_of("venv-kishu", KISHU)
}

fn make_of(name: &str, packages: &[&str]) -> Done<PathBuf> {
    let directory = target().join(name);
    let python = directory.join("bin/python");
    let stamp = directory.join("packages.txt");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    if !python.exists() {
        let base = std::env::var_os("PYREPL3_PYTHON").unwrap_or_else(|| "python3".into());
        run(Command::new(base).args(["-m", "venv"]).arg(&directory)).map_err(|why| {
            format!(
                "{why}\n  the tests need a Python 3.10 or later with venv (on Debian: apt-get install python3-venv)"
            )
        })?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))
        .map_err(|why| {
            format!("{why}\n  the tests need these Python packages, from PyPI or a mirror that pip knows")
        })?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}
