// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Monitoring
import PostgreSQL

/// The dashboard: a page, the figures that it draws, and what administrators do.
public struct DashboardPages: WebPages {
    /// Tokens shorter than this are refused: they could be guessed.
    public static let leastTokenLength = 16
    /// A wrong token costs this long.
    private static let signInPause = Duration.milliseconds(300)

    private let assets: Assets
    private let reader: DashboardReader
    private let actions: PostgresClient
    private let access: Access
    private let logger: Logger

    /// A dashboard of a database.
    ///
    /// - Parameters:
    ///   - database: How it is reached. Reading is done as `deltakv_reader`, actions as the login's own role.
    ///   - address: Where it will be served.
    ///   - token: What administrators prove themselves by; nil for a dashboard that only shows.
    /// - Throws: ``WebError`` for a token that is too short, an address open to others without a token, missing files.
    public init(database: PostgresSettings, address: ListenAddress, token: String?, logger: Logger) throws(WebError) {
        if let token, token.utf8.count < Self.leastTokenLength {
            throw WebError(
                "the dashboard's token has fewer than \(Self.leastTokenLength) characters: choose a longer one")
        }
        guard address.isLoopback || token != nil else {
            throw WebError(
                "the dashboard would be open to all who reach \(address): set DELTAKV_DASHBOARD_TOKEN or listen on 127.0.0.1"
            )
        }
        assets = try Assets()
        access = Access(token: token, isOpenForReading: address.isLoopback)
        reader = DashboardReader(database, logger: logger)
        actions = PostgresClient(database, size: 2, patience: .seconds(3), logger: logger)
        self.logger = logger
    }

    /// Adds the page, its files and its interface.
    public func add(to router: Router<BasicRequestContext>) {
        router.get("/") { _, _ in file("index.html") }
        for (name, _) in Assets.names { router.get(RouterPath("/\(name)")) { _, _ in file(name) } }
        router.get("/api/overview") { request, _ in
            try await guarded(request) { .json(try await reader.overview()) }
        }
        router.get("/api/jobs/:id") { request, context in
            try await guarded(request) {
                guard let id = context.parameters.get("id", as: Int64.self) else {
                    return .problem(.badRequest, "a job's number is a whole number")
                }
                guard let job = try await reader.job(id) else { return .problem(.notFound, "there is no job \(id)") }
                return .json(job)
            }
        }
        router.get("/api/session") { request, _ in sessionState(request) }
        router.post("/api/session") { request, _ in try await signIn(request) }
        router.delete("/api/session") { request, _ in signOut(request) }
        router.post("/api/actions") { request, _ in try await act(request) }
    }

    private func file(_ name: String) -> Response {
        guard let file = assets[name] else { return .problem(.notFound, "there is no \(name)") }
        return Response(
            status: .ok, headers: [.contentType: file.type], body: .init(byteBuffer: .init(bytes: file.bytes)))
    }

    /// Answers those who may look, and turns a database's trouble into an answer.
    private func guarded(_ request: Request, _ answer: () async throws -> Response) async throws -> Response {
        guard access.mayRead(request) else { return .problem(.unauthorized, "sign in first") }
        return try await withDatabaseProblems(answer)
    }

    private func withDatabaseProblems(_ answer: () async throws -> Response) async throws -> Response {
        do {
            return try await answer()
        } catch let error as PostgresError {
            logger.warning("The dashboard's database call failed.", metadata: ["error": "\(error)"])
            return .problem(error.isConnectionLoss ? .serviceUnavailable : .conflict, "\(error)")
        }
    }
}

// Signing in and acting.
extension DashboardPages {
    private struct SignIn: Decodable { let token: String }

    private func sessionState(_ request: Request) -> Response {
        let session = access.session(of: request)
        let csrf = session?.csrfToken.jsonQuoted ?? "null"
        return .json(
            """
            {"mayRead":\(access.mayRead(request)),"mayAct":\(session != nil),"hasToken":\(access.hasToken),"csrf":\(csrf)}
            """)
    }

    private func signIn(_ request: Request) async throws -> Response {
        guard let given = try await decode(SignIn.self, from: request) else {
            return .problem(.badRequest, "send {\"token\": …} as JSON")
        }
        guard let (id, session) = access.signIn(token: given.token) else {
            try await Task.sleep(for: Self.signInPause)
            logger.notice("A sign-in with a wrong token.")
            return .problem(.forbidden, "that is not the token")
        }
        var response = Response.json("{\"csrf\":\(session.csrfToken.jsonQuoted)}")
        // Behind a proxy that speaks TLS the cookie must not leave it.
        let isSecure = request.headers[HTTPField.Name("X-Forwarded-Proto")!] == "https"
        response.setCookie(
            Cookie(
                name: Access.cookie, value: id, maxAge: Int(Access.lifetime), path: "/", secure: isSecure,
                httpOnly: true, sameSite: .strict))
        return response
    }

    private func signOut(_ request: Request) -> Response {
        guard access.mayAct(request) else { return .problem(.forbidden, "the CSRF token is missing or wrong") }
        access.signOut(request)
        return Response(status: .noContent)
    }

    private func act(_ request: Request) async throws -> Response {
        guard access.mayAct(request) else {
            return .problem(
                .forbidden,
                access.session(of: request) == nil
                    ? "only administrators act: sign in first" : "the CSRF token is missing or wrong")
        }
        guard let action = try await decode(DashboardAction.self, from: request) else {
            return .problem(.badRequest, "send {\"verb\": …, \"job\" or \"batch\": …} as JSON")
        }
        if let problem = action.problem { return .problem(.badRequest, problem) }
        return try await withDatabaseProblems {
            let affected = try await action.perform(with: actions)
            await reader.forget()
            logger.notice(
                "An administrator acted.",
                metadata: [
                    "verb": "\(action.verb.rawValue)", "job": "\(action.job.map(String.init) ?? "-")",
                    "batch": "\(action.batch ?? "-")", "jobs": "\(affected)",
                ])
            return .json("{\"affected\":\(affected)}")
        }
    }

    /// JSON only: forms of pages elsewhere cannot send it without being asked first.
    private func decode<Value: Decodable>(_ type: Value.Type, from request: Request) async throws -> Value? {
        guard request.headers[.contentType]?.hasPrefix("application/json") == true,
            let body = try? await request.body.collect(upTo: 4096)
        else { return nil }
        return try? JSONDecoder().decode(type, from: Data(buffer: body))
    }
}
