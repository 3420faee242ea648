// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Logging
import Monitoring
import ServiceLifecycle

/// Serves HTTP on one address until it is shut down.
public struct WebServer: ServiceLifecycle.Service {
    private let application: any ApplicationProtocol

    /// A server of `pages`.
    ///
    /// - Parameter onListening: Is told the port, once connections are taken.
    public init(
        _ pages: some WebPages, on address: ListenAddress, logger: Logger,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: SafeHeaders())
        if address.isLoopback { router.add(middleware: LocalNamesOnly()) }
        pages.add(to: router)
        application = Application(
            router: router,
            configuration: .init(
                address: .hostname(address.host, port: address.port), serverName: nil),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? address.port
                logger.info("Listening.", metadata: ["address": "\(ListenAddress(host: address.host, port: port))"])
                onListening(port)
            }, logger: quiet)
    }

    /// Serves until the task is cancelled or the service group shuts down.
    public func run() async throws { try await application.run() }
}

/// Pages that a ``WebServer`` serves.
public protocol WebPages: Sendable {
    /// Adds what answers requests.
    func add(to router: Router<BasicRequestContext>)
}

/// Headers that keep a page to itself: nothing from elsewhere is loaded, nobody frames it, nothing is kept by caches.
struct SafeHeaders: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var response: Response
        do {
            response = try await next(request, context)
        } catch let error as any HTTPResponseError {
            response = try error.response(from: request, context: context)
        }
        for (name, value) in Self.headers {
            if response.headers[name] == nil { response.headers[name] = value }
        }
        return response
    }

    private static let headers: [(HTTPField.Name, String)] = [
        (
            .contentSecurityPolicy,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                + "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
        ),
        (.xContentTypeOptions, "nosniff"),
        (HTTPField.Name("Referrer-Policy")!, "no-referrer"),
        (HTTPField.Name("Cross-Origin-Opener-Policy")!, "same-origin"),
        (HTTPField.Name("Cross-Origin-Resource-Policy")!, "same-origin"),
        (.cacheControl, "no-store"),
    ]
}

/// Refuses requests under foreign names: a web page elsewhere could point its own name at this machine's loopback address
/// and read along ("DNS rebinding").
struct LocalNamesOnly: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let authority = request.head.authority ?? ""
        let name = ListenAddress(authority)?.host ?? authority
        guard name == "localhost" || name == "[::1]" || ListenAddress(host: name, port: 0).isLoopback else {
            return .problem(.misdirectedRequest, "this address answers to localhost and 127.0.0.1 only")
        }
        return try await next(request, context)
    }
}

extension Response {
    /// A body of text.
    static func text(_ text: String, type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(status: status, headers: [.contentType: type], body: .init(byteBuffer: .init(string: text)))
    }

    /// JSON.
    static func json(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
        .text(text, type: "application/json; charset=utf-8", status: status)
    }

    /// What is wrong, as JSON: `{"error": …}`.
    static func problem(_ status: HTTPResponse.Status, _ message: String) -> Response {
        .json("{\"error\":\(message.jsonQuoted)}", status: status)
    }
}
