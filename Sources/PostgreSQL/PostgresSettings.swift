// SPDX-License-Identifier: Apache-2.0
import CPostgreSQL

/// How to reach a database: libpq's connection keywords ("Database Connection Control Functions" in the manual).
///
/// The description names host, port, database and user only, so that a password can never reach a log through it.
public struct PostgresSettings: Sendable, Hashable, CustomStringConvertible, CustomReflectable {
    /// Keywords and values, as `host`, `port`, `dbname`, `user`, `password`, `sslmode`, `connect_timeout`,
    /// `application_name`. What is missing here, libpq takes from its own defaults.
    public var keywords: [String: String]

    /// Settings from keywords.
    public init(keywords: [String: String]) { self.keywords = keywords }

    /// Settings from a `postgresql://` URL or a `key=value` string. Throws `invalidSettings`.
    public init(url: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            let reason = message.map { Self.withoutQuotedParts(String(cString: $0)) } ?? "out of memory"
            PQfreemem(message)
            throw PostgresError(
                .invalidSettings,
                "the database URL cannot be read (\(reason)); special characters in user, password and database name"
                    + " must be percent-encoded, as in postgresql://user:p%40ss@host:5432/name")
        }
        defer { PQconninfoFree(options) }
        var keywords: [String: String] = [:]
        Self.forEach(options) { option in
            if let value = option.val { keywords[String(cString: option.keyword)] = String(cString: value) }
        }
        // An unescaped @ in the password would end up in the host, and so in error messages.
        guard !(keywords["host"] ?? "").contains("@"), !(keywords["port"] ?? "").contains("@") else {
            throw PostgresError(
                .invalidSettings, "the database URL has an @ in its host; an @ in the password must be written as %40")
        }
        self.keywords = keywords
    }

    /// Settings from `DATABASE_URL`, and from the `PG*` variables for what the URL leaves open. Throws `invalidSettings`.
    public init(environment: [String: String]) throws(PostgresError) {
        var keywords = Self.keywords(fromVariables: environment)
        if let url = environment["DATABASE_URL"], !url.isEmpty {
            keywords.merge(try PostgresSettings(url: url).keywords) { _, fromURL in fromURL }
        }
        self.init(keywords: keywords)
    }

    /// Host, port, database and user.
    public var description: String {
        ["host", "port", "dbname", "user"]
            .compactMap { key in keywords[key].map { "\(key)=\($0)" } }
            .joined(separator: " ")
    }

    /// Shows what `description` shows, so that dumping the settings does not leak the password.
    public var customMirror: Mirror { Mirror(self, children: ["settings": description]) }

    /// The same server and user, another database.
    public func with(database: String) -> PostgresSettings {
        var settings = self
        settings.keywords["dbname"] = database
        return settings
    }

    /// What libpq is given: the keywords and our defaults for those left open.
    var effectiveKeywords: [String: String] {
        var effective = Self.defaults
        effective.merge(keywords) { _, given in given }
        effective["client_encoding"] = "UTF8"
        return effective
    }

    /// Time allowed for making a connection.
    var connectTimeout: Duration {
        guard let text = keywords["connect_timeout"], let seconds = Int(text), seconds > 0 else { return .seconds(10) }
        return .seconds(seconds)
    }

    // A peer that vanished without closing is noticed within about a minute.
    private static let defaults = [
        "fallback_application_name": "deltakv", "keepalives_idle": "30", "keepalives_interval": "10",
        "keepalives_count": "3", "tcp_user_timeout": "60000",
    ]

    private static func keywords(fromVariables environment: [String: String]) -> [String: String] {
        guard let options = PQconndefaults() else { return [:] }
        defer { PQconninfoFree(options) }
        var keywords: [String: String] = [:]
        forEach(options) { option in
            guard let variable = option.envvar, let value = environment[String(cString: variable)], !value.isEmpty
            else { return }
            keywords[String(cString: option.keyword)] = value
        }
        return keywords
    }

    private static func forEach(
        _ options: UnsafeMutablePointer<PQconninfoOption>, _ body: (PQconninfoOption) -> Void
    ) {
        var current = options
        while current.pointee.keyword != nil {
            body(current.pointee)
            current += 1
        }
    }

    /// libpq quotes pieces of the URL, which may be pieces of the password.
    private static func withoutQuotedParts(_ message: String) -> String {
        let parts = message.split(separator: "\"", omittingEmptySubsequences: false)
        let kept = parts.enumerated().map { $0.offset.isMultiple(of: 2) ? String($0.element) : "…" }
        return kept.joined(separator: "\"").trimmingEnd()
    }
}

extension String {
    /// Without white space and line ends at the end.
    func trimmingEnd() -> String {
        var text = self[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
