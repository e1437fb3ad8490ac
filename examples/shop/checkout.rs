//! POST /checkout, as an application with both SDKs has it: a span, a flag, a payment, a line of the log.

use crate::customers::Customer;
use crate::payment::{Failure, Payments};
use crate::telemetry;
use open_feature::{Client, EvaluationContext};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::logs::SdkLogger;
use std::sync::Arc;

const FLAG: &str = "new-checkout";

pub struct Shop {
    flags: Client,
    tracer: global::BoxedTracer,
    logger: Option<SdkLogger>,
    payments: Arc<Payments>,
}

impl Shop {
    pub fn open(flags: Client) -> Self {
        let logger = telemetry::logs().map(|logs| logs.logger("shop.payment"));
        Self { flags, tracer: global::tracer("shop"), logger, payments: Arc::default() }
    }

    pub async fn checkout(&self, customer: Customer) {
        let span = self.tracer.span_builder("POST /checkout").with_kind(SpanKind::Server).with_attributes([
            KeyValue::new("user.id", customer.user.clone()),
            KeyValue::new("country", customer.country),
            KeyValue::new("app_version", customer.app_version),
        ]);
        let context = Context::current_with_span(self.tracer.build(span));
        self.answer(customer).with_context(context.clone()).await;
        context.span().end();
    }

    async fn answer(&self, mut customer: Customer) {
        let subject = EvaluationContext::default().with_targeting_key(customer.user.clone());
        let new_path = self.flags.get_bool_value(FLAG, Some(&subject), None).await.unwrap_or(false);
        match self.payments.pay(&mut customer, new_path).await {
            Ok(()) if customer.luck.share() < 0.02 => self.log(Severity::Info, "coupon applied".to_owned()),
            Ok(()) => {}
            Err(Failure::CardDeclined) => self.fail("CardDeclined", "card declined".to_owned()),
            Err(Failure::GatewayTimeout) => {
                let waited = 900 + customer.luck.number() % 7;
                self.fail("GatewayTimeout", format!("gateway-2 did not answer within {waited}ms"));
            }
        }
    }

    fn fail(&self, kind: &'static str, what: String) {
        let context = Context::current();
        context.span().set_attribute(KeyValue::new("error.type", kind));
        context.span().set_status(Status::error(what.clone()));
        self.log(Severity::Error, what);
    }

    /// A line of the log; it belongs to the trace of the span at hand.
    fn log(&self, severity: Severity, what: String) {
        let Some(logger) = &self.logger else { return };
        let mut record = logger.create_log_record();
        record.set_severity_number(severity);
        record.set_body(AnyValue::from(what));
        logger.emit(record);
    }

    /// Payments that wait, for each path and machine: a metric, read as often as OTEL_METRIC_EXPORT_INTERVAL says.
    pub fn watch_queue(&self) {
        let payments = Arc::clone(&self.payments);
        let meter = global::meter("shop");
        meter
            .f64_observable_gauge("payment.queue.depth")
            .with_unit("{payment}")
            .with_callback(move |gauge| {
                for (variant, overload) in [("off", 0.0), ("on", payments.overload())] {
                    for machine in 1..=5_u8 {
                        let waiting = 6.0 + 0.8 * f64::from(machine) + 40.0 * overload;
                        let host = KeyValue::new("host.name", format!("payment-{variant}-{machine}"));
                        let served = KeyValue::new("feature_flag.result.variant", variant);
                        gauge.observe(waiting, &[KeyValue::new("feature_flag.key", FLAG), served, host]);
                    }
                }
            })
            .build();
    }
}
