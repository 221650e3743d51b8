"""What the tests know of the document that the book retells: headings, openings, its program.

The document itself is not part of the repository. These short quotes are enough to notice when a
page loses sight of one of its parts.
"""

# Section: how each of its sentences begins. A repeated sentence stands once.
OPENINGS = {
    "1": (
        "图像分割是一种计算机视觉任务",
        "图像分割在许多应用中都有重要作用",
        "深度学习是一种人工智能技术",
        "深度学习已经在许多领域取得了显著的成果",
    ),
    "2": (
        "在深度学习中，图像分割是一种特殊的分类任务",
        "图像分割可以用来识别物体",
        "深度学习的核心概念包括",
        "这些概念将在后续部分中详细解释",
    ),
    "3": ("核心算法原理和具体操作步骤以及数学模型公式详细讲解",),
    "3.1": (
        "神经网络是一种由多个节点（神经元）组成的计算模型",
        "每个节点接收输入，对其进行处理",
        "神经网络通过训练来学习",
    ),
    "3.1.1": ("在前向传播过程中，输入数据通过多个层次传递", "在每个层次，节点对输入数据进行处理"),
    "3.1.2": ("损失函数是用于衡量", "常见的损失函数包括"),
    "3.1.3": (
        "反向传播是训练神经网络的关键步骤",
        "在反向传播过程中，网络从输出层",
        "这些梯度用于调整网络权重",
    ),
    "3.2": (
        "卷积神经网络（CNN）是一种特殊类型的神经网络",
        "CNN 使用卷积层来学习图像中的特征",
        "卷积层通过应用卷积核（filter）对输入图像进行卷积",
    ),
    "3.2.1": ("卷积核是一种小的、有权重的矩阵", "卷积层通常与激活函数"),
    "3.2.2": (
        "池化层用于减少图像的尺寸",
        "池化层通过应用池化操作",
        "池化操作通过从输入图像中选择一个区域",
    ),
    "3.2.3": (
        "全连接层是 CNN 中的最后一层",
        "全连接层将输入特征向量与权重矩阵相乘",
        "通常，全连接层与激活函数",
    ),
    "3.3": (
        "自动编码器（AE）是一种神经网络模型",
        "自动编码器包括编码器（Encoder）和解码器（Decoder）两部分",
    ),
    "3.3.1": ("编码器是自动编码器的一部分", "编码器通常包括多个隐藏层", "编码器通过应用权重矩阵"),
    "3.3.2": ("解码器是自动编码器的一部分", "解码器通常包括多个解码层", "解码器通过应用权重矩阵"),
    "3.4": (
        "生成对抗网络（GAN）是一种生成模型",
        "GAN 包括生成器（Generator）和判别器（Discriminator）两部分",
        "生成器用于生成新的数据样本，判别器用于判断",
    ),
    "3.4.1": ("生成器通常包括多个生成层", "生成器通过应用权重矩阵对随机噪声"),
    "3.4.2": ("判别器用于判断生成的样本", "判别器通常包括多个判别层", "判别器通过应用权重矩阵"),
    "4": ("在这一部分，我们将通过一个简单的图像分割示例", "我们将使用 Keras 库来构建"),
    "4.1": (
        "首先，我们需要准备数据",
        "我们将使用 PASCAL VOC 数据集",
        "我们将使用 Keras 的 ImageDataGenerator 类",
    ),
    "4.2": ("我们将使用 CNN 作为我们的模型架构", "我们将使用 Keras 的 Sequential 类"),
    "4.3": ("最后，我们将训练我们的模型", "我们将使用 Keras 的 fit_generator 函数"),
    "5": ("图像分割的未来发展趋势包括", "这些挑战需要更复杂的模型"),
    "6": (
        "在本文中，我们已经详细解释了",
        "图像分割是计算机视觉的基础",
        "什么是卷积神经网络（CNN）？",
        "什么是自动编码器（AE）？",
        "什么是生成对抗网络（GAN）？",
        "在选择模型架构时，需要考虑",
        "优化模型性能可以通过",
        "处理图像分割任务中的挑战需要",
        "模型性能可以通过使用不同的评估指标",
    ),
    "7": ("在本文中，我们详细解释了",),
}

# Those that are right as they are.
STANDING = (
    "深度学习是一种人工智能技术",
    "深度学习已经在许多领域取得了显著的成果",
    "神经网络是一种由多个节点（神经元）组成的计算模型",
    "在前向传播过程中，输入数据通过多个层次传递",
    "反向传播是训练神经网络的关键步骤",
    "自动编码器包括编码器（Encoder）和解码器（Decoder）两部分",
    "编码器通常包括多个隐藏层",
    "解码器通常包括多个解码层",
    "GAN 包括生成器（Generator）和判别器（Discriminator）两部分",
    "生成器通常包括多个生成层",
    "判别器通常包括多个判别层",
    "我们将使用 Keras 库来构建",
    "首先，我们需要准备数据",
)

PROGRAM = """\
from keras.preprocessing.image import ImageDataGenerator
# 加载 PASCAL VOC 数据集
datagen = ImageDataGenerator(
rescale=1./255,
shear_range=0.2,
zoom_range=0.2,
horizontal_flip=True
)
# 生成数据流
train_generator = datagen.flow_from_directory(
'path/to/train/data',
target_size=(224, 224),
batch_size=32,
class_mode='categorical'
)
# 加载验证数据
validation_generator = datagen.flow_from_directory(
'path/to/validation/data',
target_size=(224, 224),
batch_size=32,
class_mode='categorical'
)
from keras.models import Sequential
from keras.layers import Conv2D, MaxPooling2D, Flatten, Dense, Dropout
# 构建模型
model = Sequential()
# 添加卷积层
model.add(Conv2D(32, (3, 3), activation='relu', input_shape=(224, 224, 3)))
model.add(MaxPooling2D((2, 2)))
# 添加另一个卷积层
model.add(Conv2D(64, (3, 3), activation='relu'))
model.add(MaxPooling2D((2, 2)))
# 添加完全连接层
model.add(Flatten())
model.add(Dense(64, activation='relu'))
model.add(Dropout(0.5))
model.add(Dense(num_classes, activation='softmax'))
# 编译模型
model.compile(loss='categorical_crossentropy',
optimizer='adam',
metrics=['accuracy'])
# 训练模型
model.fit_generator(
train_generator,
steps_per_epoch=train_generator.samples // train_generator.batch_size,
epochs=10,
validation_data=validation_generator,
validation_steps=validation_generator.samples // validation_generator.batch_size
)
""".splitlines()
