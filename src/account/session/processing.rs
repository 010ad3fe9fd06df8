//! What runs in nuvo before a trigger, for runs that are not triggered beside another execution of their pipeline.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use nuvo_client::{Error, ExecutionStatus, ListQuery, Listing};
use nuvo_core::{
    run::{ExecutionId, PipelineId},
    scheduler::{Purpose, Running},
};
use tokio::time::Instant;

use super::{ALL_PAGES, Session};

impl Session {
    /// The executions of a pipeline that nuvo lists as running, by a look that began `after` this moment.
    ///
    /// # Errors
    /// Why there was no list; [`Error::Paused`], or [`Error::Stopping`] when nothing is sent any more.
    pub async fn processing(&self, pipeline: &PipelineId, after: Instant) -> Result<BTreeSet<ExecutionId>, Error> {
        if let Some(all) = self.requests.running(after).await? {
            return Ok(all.iter().filter(|(named, _)| named == pipeline).map(|(_, id)| id.clone()).collect());
        }
        // Entries move up while others end, so that several pages may miss some. Those of one pipeline fit on one.
        let query = ListQuery { pipeline: Some(pipeline.clone()), ..self.of_processing() };
        let listing = self.list(&query, ALL_PAGES, Purpose::Baseline).await?;
        Ok(listing.items.into_iter().map(|execution| execution.id).collect())
    }

    /// The running executions of the account, if one page shows all of them.
    ///
    /// # Errors
    /// As for [`Session::processing`].
    pub async fn read_running(&self) -> Result<Running, Error> {
        loop {
            let query = self.of_processing();
            match self.list(&query, 1, Purpose::Baseline).await {
                Err(error) if self.is_too_large(query.limit, &error) => {}
                result => return result.map(by_pipeline),
            }
        }
    }

    fn of_processing(&self) -> ListQuery {
        ListQuery { status: Some(ExecutionStatus::Processing), limit: self.page_size.load(Ordering::Relaxed), ..ListQuery::default() }
    }
}

fn by_pipeline(listing: Listing) -> Running {
    let named = listing.items.into_iter().map(|execution| {
        let pipeline = execution.pipeline.and_then(|named| PipelineId::new(named).ok())?;
        Some((pipeline, execution.id))
    });
    named.collect::<Option<_>>().filter(|_| listing.complete)
}
