// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Database
import Foundation
import PostgreSQL
import Service

/// `deltakv db`: the database behind the queue.
struct DatabaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "db", abstract: "The database: a private PostgreSQL under the data directory, or your own.",
        discussion: """
            With DATABASE_URL or PGHOST set, deltakv uses that server. Otherwise it runs a private one that only this
            machine's socket reaches.
            """,
        subcommands: [Up.self, Down.self, Status.self, Migrate.self, Psql.self])

    /// Which database a command is about.
    struct Options: ParsableArguments {
        @Option(help: ArgumentHelp("A server's URL instead of DATABASE_URL.", valueName: "url"))
        var database: String?

        func location() throws -> DatabaseLocation { try DatabaseLocation.resolve(url: database) }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start the private PostgreSQL, making it first if need be.")

        @OptionGroup var options: Options

        func run() async throws {
            switch try options.location() {
            case .external(let settings):
                print("Using your own server (\(settings)): there is nothing to start.")
            case .privateCluster(let cluster):
                try await cluster.up()
                print("PostgreSQL is up in \(cluster.dataDirectory). Next: deltakv db migrate")
            }
        }
    }

    struct Down: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop the private PostgreSQL; its data stays.")

        @OptionGroup var options: Options

        func run() async throws {
            switch try options.location() {
            case .external(let settings):
                print("Your own server (\(settings)) is not deltakv's to stop.")
            case .privateCluster(let cluster):
                try await cluster.down()
                print("PostgreSQL is down.")
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the server and its migrations.")

        @OptionGroup var options: Options

        @Flag(help: "One line of JSON.")
        var json = false

        func run() async throws {
            let status = try await DatabaseStatus(location: options.location(), installation: Installation())
            if json { try printJSON(status) } else { print(status.text) }
        }
    }

    struct Migrate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Bring the database's schema up to date.")

        @OptionGroup var options: Options

        func run() async throws {
            let applied = try await Migrator(directory: Installation().migrations).migrate(options.location().settings)
            print(
                applied.isEmpty
                    ? "The schema is up to date." : "Applied \(applied.map(\.name).joined(separator: ", ")).")
        }
    }

    struct Psql: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Open psql on the database; what follows -- goes to psql.")

        @OptionGroup var options: Options

        @Argument(parsing: .postTerminator, help: "psql's own arguments.")
        var arguments: [String] = []

        func run() async throws {
            for (keyword, value) in try options.location().settings.keywords {
                if let variable = Self.variables[keyword] { setenv(variable, value, 1) }
            }
            // The private server accepts trusted local users only under a name that it knows.
            var pointers = (["psql"] + arguments).map { strdup($0) } + [nil]
            execvp("psql", &pointers)
            throw DatabaseError(
                "psql could not be started (\(String(cString: strerror(errno)))): install postgresql-client")
        }

        private static let variables = [
            "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "password": "PGPASSWORD",
            "sslmode": "PGSSLMODE", "service": "PGSERVICE", "hostaddr": "PGHOSTADDR",
        ]
    }
}
