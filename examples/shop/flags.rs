//! OpenFeature: the official provider for OFREP, and a hook that tells OpenTelemetry of every evaluation, as OpenFeature's
//! own hooks for other languages do: an event of the span at hand, which is how flagscope learns who was served what.

use async_trait::async_trait;
use open_feature::{
    Client, EvaluationContext, EvaluationDetails, EvaluationError, Hook, HookContext, HookHints, OpenFeature, Value,
};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt;
use std::error::Error;

pub async fn client() -> Result<Client, Box<dyn Error + Send + Sync>> {
    let base_url = std::env::var("OFREP_ENDPOINT").unwrap_or_else(|_| "http://127.0.0.1:8016".to_owned());
    let provider = OfrepProvider::new(OfrepOptions { base_url, ..OfrepOptions::default() }).await;
    let mut openfeature = OpenFeature::singleton_mut().await;
    openfeature.set_provider(provider.map_err(|error| format!("{error:?}"))?).await;
    openfeature.add_hook(TraceHook).await;
    Ok(openfeature.create_client())
}

struct TraceHook;

type Hints<'a> = Option<&'a HookHints>;

#[async_trait]
impl Hook for TraceHook {
    async fn before<'a>(
        &self,
        _: &HookContext<'a>,
        _: Hints<'a>,
    ) -> Result<Option<EvaluationContext>, EvaluationError> {
        Ok(None)
    }

    async fn after<'a>(
        &self,
        context: &HookContext<'a>,
        details: &EvaluationDetails<Value>,
        _: Hints<'a>,
    ) -> Result<(), EvaluationError> {
        let mut attributes = vec![KeyValue::new("feature_flag.key", context.flag_key.to_owned())];
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        attributes.push(KeyValue::new("feature_flag.result.variant", text(&details.variant)));
        attributes.push(KeyValue::new("feature_flag.context.id", text(&context.evaluation_context.targeting_key)));
        attributes.push(KeyValue::new("feature_flag.provider.name", "ofrep"));
        if let Some(reason) = &details.reason {
            attributes.push(KeyValue::new("feature_flag.result.reason", reason.to_string().to_lowercase()));
        }
        opentelemetry::Context::current().span().add_event("feature_flag.evaluation", attributes);
        Ok(())
    }

    async fn error<'a>(&self, _: &HookContext<'a>, _: &EvaluationError, _: Hints<'a>) {}

    async fn finally<'a>(&self, _: &HookContext<'a>, _: &EvaluationDetails<Value>, _: Hints<'a>) {}
}
