"""A ROS 2 node that says whether the robot has done what it was told.

    ros2 run --prefix "python3" robo_dialog ros2_success_node.py --ros-args -p address:=127.0.0.1:50051 \
        -p instruction:="put the red cube on the plate" -p cameras:="[/front/image/compressed]"

It listens to compressed images (sensor_msgs/CompressedImage, sent on as they are) and offers the service `~/is_success`
(std_srvs/Trigger): `success` is True for a verdict SUCCESS, and `message` holds the verdict and its probability. Needs
rclpy and the base install of robo-dialog.
"""

from __future__ import annotations

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger

from robo_dialog.detect.client import DetectorClient, DetectorError
from robo_dialog.detect.verdict import Frame, Outcome


class SuccessNode(Node):
    """Keeps the newest image of every camera, and asks about all of them when it is asked."""

    def __init__(self) -> None:
        super().__init__("success_detector")
        address = self.declare_parameter("address", "127.0.0.1:50051").value
        self._instruction = self.declare_parameter("instruction", "").value
        cameras = self.declare_parameter("cameras", ["/camera/image/compressed"]).value
        self._client = DetectorClient(address)
        self._newest: dict[str, bytes] = {}
        for topic in cameras:
            self.create_subscription(
                CompressedImage, topic, lambda image, name=topic: self._saw(name, image), qos_profile_sensor_data
            )
        self.create_service(Trigger, "~/is_success", self._answer)

    def _saw(self, topic: str, image: CompressedImage) -> None:
        self._newest[topic] = bytes(image.data)

    def _answer(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._newest or not self._instruction:
            response.success, response.message = False, "no image yet, or the parameter `instruction` is empty"
            return response
        views = [Frame(data, topic.strip("/").split("/")[0]) for topic, data in self._newest.items()]
        try:
            verdict = self._client.is_success(views, self._instruction)
        except DetectorError as error:
            response.success, response.message = False, f"no verdict: {error}"
            return response
        response.success = verdict.outcome is Outcome.SUCCESS
        response.message = f"{verdict.outcome} {verdict.probability:.3f}"
        return response


def main() -> None:
    """Run the node until it is stopped."""
    rclpy.init()
    rclpy.spin(SuccessNode())


if __name__ == "__main__":
    main()
