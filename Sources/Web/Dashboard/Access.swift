// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import Synchronization

/// Who may look and who may act.
///
/// Without a token nobody may act. With one, whoever knows it may: in a browser by signing in, which gives a session; in a
/// program by `Authorization: Bearer`. Looking needs no token on the loopback interface and needs it everywhere else.
final class Access: Sendable {
    /// Someone who has signed in.
    struct Session: Sendable {
        /// What requests that change something must carry in `X-CSRF-Token`: a page elsewhere does not know it.
        let csrfToken: String
        let ends: Date
    }

    static let cookie = "deltakv_session"
    static let lifetime: TimeInterval = 12 * 3600
    private static let mostSessions = 1000

    private let tokenDigest: SHA256.Digest?
    private let isOpenForReading: Bool
    private let sessions = Mutex<[String: Session]>([:])

    init(token: String?, isOpenForReading: Bool) {
        tokenDigest = token.map { SHA256.hash(data: Data($0.utf8)) }
        self.isOpenForReading = isOpenForReading
    }

    /// Whether there is any way to act.
    var hasToken: Bool { tokenDigest != nil }

    /// Begins a session if the token is right.
    func signIn(token: String) -> (id: String, session: Session)? {
        guard isRight(token) else { return nil }
        let id = Self.random()
        let session = Session(csrfToken: Self.random(), ends: Date.now.addingTimeInterval(Self.lifetime))
        sessions.withLock { sessions in
            sessions = sessions.filter { $0.value.ends > .now }
            if sessions.count >= Self.mostSessions, let oldest = sessions.min(by: { $0.value.ends < $1.value.ends }) {
                sessions[oldest.key] = nil
            }
            sessions[id] = session
        }
        return (id, session)
    }

    /// Ends the request's session.
    func signOut(_ request: Request) {
        if let id = Self.sessionID(request) { sessions.withLock { _ = $0.removeValue(forKey: id) } }
    }

    /// The request's session, if it has one that is good.
    func session(of request: Request) -> Session? {
        guard let id = Self.sessionID(request) else { return nil }
        return sessions.withLock { $0[id] }.flatMap { $0.ends > .now ? $0 : nil }
    }

    func mayRead(_ request: Request) -> Bool {
        isOpenForReading || session(of: request) != nil || hasBearer(request)
    }

    func mayAct(_ request: Request) -> Bool {
        if hasBearer(request) { return true }
        guard let session = session(of: request), let given = request.headers[Self.csrfHeader] else { return false }
        return Self.digest(given) == Self.digest(session.csrfToken)
    }

    static let csrfHeader = HTTPField.Name("X-CSRF-Token")!

    private func hasBearer(_ request: Request) -> Bool {
        guard let header = request.headers[.authorization], header.hasPrefix("Bearer ") else { return false }
        return isRight(String(header.dropFirst("Bearer ".count)))
    }

    /// Digests compare in constant time.
    private func isRight(_ token: String) -> Bool { tokenDigest.map { $0 == Self.digest(token) } ?? false }

    private static func digest(_ text: String) -> SHA256.Digest { SHA256.hash(data: Data(text.utf8)) }

    private static func sessionID(_ request: Request) -> String? {
        request.cookies[cookie]?.value
    }

    /// 256 random bits.
    private static func random() -> String {
        SymmetricKey(size: .bits256).withUnsafeBytes { bytes in
            bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
    }
}
