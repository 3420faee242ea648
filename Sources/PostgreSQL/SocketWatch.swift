// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Glibc

/// Watches an open connection's socket: always for input, for room to write only on request.
final class SocketWatch {
    private let reader: any DispatchSourceRead
    private let writer: any DispatchSourceWrite
    private var writerIsResumed = false

    /// The handlers run on `queue`. Nil when no descriptor is left.
    init?(
        socket: Int32, queue: DispatchQueue, onReadable: @escaping @Sendable () -> Void,
        onWritable: @escaping @Sendable () -> Void
    ) {
        guard let readDescriptor = duplicateDescriptor(socket) else { return nil }
        guard let writeDescriptor = duplicateDescriptor(socket) else {
            close(readDescriptor)
            return nil
        }
        reader = DispatchSource.makeReadSource(fileDescriptor: readDescriptor, queue: queue)
        writer = DispatchSource.makeWriteSource(fileDescriptor: writeDescriptor, queue: queue)
        reader.setEventHandler(handler: onReadable)
        writer.setEventHandler(handler: onWritable)
        reader.setCancelHandler { close(readDescriptor) }
        writer.setCancelHandler { close(writeDescriptor) }
        reader.resume()
    }

    /// Whether `onWritable` is called while the socket has room.
    var watchesWriting: Bool {
        get { writerIsResumed }
        set {
            guard newValue != writerIsResumed else { return }
            writerIsResumed = newValue
            if newValue { writer.resume() } else { writer.suspend() }
        }
    }

    deinit {
        reader.cancel()
        writer.cancel()
        // A suspended source may not be released.
        if !writerIsResumed { writer.resume() }
    }
}
