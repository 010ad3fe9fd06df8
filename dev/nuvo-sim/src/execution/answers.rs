//! How the API shows an execution.

use serde_json::{Map, Value, json};

use super::{Run, Stored, words::Status};
use crate::{
    clock::Clock,
    duration::Millis,
    identity::{Identity, IdentityKind},
    pipeline::Spelling,
};

impl Stored {
    /// The answer to the POST that made it, which says nothing but this.
    pub(crate) fn show_created(&self) -> Value {
        json!({"id": self.id, "pipeline": self.pipeline, "status": "PROCESSING", "trigger_type": self.trigger.name()})
    }

    /// A field that lists are filtered by, as [`Stored::show`] has it; none if it is no text.
    pub(crate) fn field(&self, name: &str, clock: &Clock, now: Millis) -> Option<String> {
        if !self.fields.is_empty() {
            // Fields set by hand take precedence.
            let shown = self.show(clock, now, false);
            return shown.pointer(&format!("/{}", name.replace('.', "/"))).and_then(Value::as_str).map(str::to_owned);
        }
        Some(match name {
            "id" => self.id.clone(),
            "pipeline" => self.pipeline.clone(),
            "status" => self.current(now).status(now).as_str().to_owned(),
            "trigger_type" => self.trigger.name().to_owned(),
            "created_by.identifier" => self.creator.identifier.clone(),
            _ => return None,
        })
    }

    /// An entry of the list, or with `whole` the answer to a GET by id.
    pub(crate) fn show(&self, clock: &Clock, now: Millis, whole: bool) -> Value {
        let run = self.current(now);
        let status = run.status(now);
        let time = |at: Millis| match self.spelling {
            Spelling::Sample => clock.bare(at),
            Spelling::Text | Spelling::Seen => clock.zoned(at),
        };
        let (created_at, updated_at) = match self.spelling {
            Spelling::Seen => ("createdAt", "updatedAt"),
            Spelling::Text | Spelling::Sample => ("created_at", "updated_at"),
        };
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        put("id", json!(self.id));
        put("pipeline", json!(self.pipeline));
        put("status", json!(status));
        if status == Status::Failed {
            put("error", json!(run.failure()));
        } else if self.spelling != Spelling::Text {
            put("error", json!(self.first.error));
        }
        put("trigger_type", json!(self.trigger.name()));
        put(created_at, json!(time(self.created)));
        put("created_by", person(&self.creator));
        put(updated_at, json!(time(self.updated(now))));
        put("updated_by", person(&self.creator));
        if whole {
            put("logs", self.runs(now).enumerate().map(|(index, run)| self.show_run(run, index == 0, clock, now)).collect());
            let configuration = format!("{}-configuration", self.pipeline);
            put(
                "configuration",
                match self.spelling {
                    Spelling::Seen => json!({"id": configuration, "developer_mode": self.developer_mode}),
                    Spelling::Text | Spelling::Sample => json!(configuration),
                },
            );
        }
        shown.extend(self.fields.clone());
        Value::Object(shown)
    }

    fn show_run(&self, run: &Run, first: bool, clock: &Clock, now: Millis) -> Value {
        let (started, create) = match self.spelling {
            Spelling::Text => ("started_on", "CREATE"),
            Spelling::Sample | Spelling::Seen => ("started_at", "CREATED"),
        };
        json!({
            "status": run.status(now),
            "data": {
                "total_rows": run.stats.total_rows,
                "total_cells": run.stats.total_cells,
                "total_error_cells": run.stats.total_error_cells,
                "total_error_rows": run.stats.total_error_rows,
            },
            "duration": run.ends.min(now).saturating_sub(run.started).max(0),
            started: clock.zoned(run.started),
            "type": if first { create } else { "FIX" },
        })
    }

    fn updated(&self, now: Millis) -> Millis {
        let run = self.current(now);
        let moved = if run.ended(now) { run.ends } else { run.started };
        moved.max(self.changed)
    }
}

fn person(identity: &Identity) -> Value {
    let kind = match identity.kind {
        IdentityKind::User => "USER",
        IdentityKind::SubOrg => "SUB_ORG",
    };
    // The name of a person is no address.
    let name = identity.identifier.split('@').next();
    json!({"id": format!("id-of-{}", identity.identifier), "name": name, "identifier": identity.identifier, "type": kind})
}
