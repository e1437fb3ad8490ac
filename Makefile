# The words of this project. Each does all that it needs: on a Debian with Rust, `make demo` is the first command.
# PG_CONFIG=/path/to/pg_config chooses another PostgreSQL, 15 to 18.
export PG_CONFIG

.PHONY: help setup build demo demo-stop pictures check check-versions accept manual lint bench fuzz simulate simulate-sql install clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: build ## start a private PostgreSQL with flagscope, the gateway beside it, and run the tour of examples/demo
	@tools/build shop
	@tools/cluster start demo
	@eval "$$(tools/cluster env demo)" && examples/demo

demo-stop: ## stop the demo's gateway and PostgreSQL, and remove its data
	@tools/cluster destroy demo

pictures: ## take the pictures of examples/console/ from the demo's console; make demo first
	@tools/pictures

check: build ## run all tests
	@tools/check

check-versions: build ## run the tests of SQL, worker and dumps on PostgreSQL 16, 17 and 18, those that can be had
	@tools/check versions 16 17 18

install: ## install into your own PostgreSQL: make install PG_CONFIG=/path/to/pg_config
	@tools/install check
	@tools/setup
	@tools/install

build: setup ## build the extension into target/package, and the gateway
	@tools/build
	@tools/build gateway

setup: ## install what is missing: PostgreSQL's packages and cargo-pgrx
	@tools/setup

lint: build ## formatting, clippy and the rules of the house
	@tools/check house lint

accept: ## take the last result of a test as expected: make accept NAME="flag rollout"
	@tools/accept $(NAME)

manual: build ## write the results and tables that README.md, the manual and the examples show anew, from a run and the catalog
	@tests/readme/run --accept

bench: build ## measure (tests/bench/run), or some parts: make bench PARTS="tick growth"
	@tests/bench/run $(PARTS)

simulate: ## play the decision tests and their rivals on simulated rollouts, within an hour: make simulate ARGS="--only B1"
	@cargo run --quiet --release --locked -p flagscope-simulate -- $(ARGS)

simulate-sql: build ## play whole rollouts through SQL beside their rivals, an hour: make simulate-sql RUNS=100 TICKS=360 FILES=arms
	@tools/simulate "$(or $(RUNS),60)" "$(or $(TICKS),240)" 400 . $(FILES)

simulate-why: build ## data sets with and without a cause through correlate(), half an hour: make simulate-why RUNS=20 ROWS=60000
	@tools/simulate-why "$(or $(RUNS),20)" "$(or $(ROWS),60000)"

dashboards: build ## show examples/superset in a real Superset, and leave pictures: the first time 4 minutes and 830 MB; make dashboards PICTURES=folder CLUSTER=demo (after make demo; without it, of a test)
	@tools/dashboards "$(PICTURES)" $(CLUSTER)

fuzz: ## look for inputs that break the pure half: make fuzz SECONDS=60 TARGETS="targeting otlp sketch"
	@tools/fuzz "$(or $(SECONDS),60)" $(TARGETS)

clean: ## remove everything that was built, and all private clusters
	@tools/cluster destroy --all || true # there may be no PostgreSQL
	@rm -rf target
